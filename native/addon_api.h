#pragma once

// In a worker thread that is being terminated calls fail and nothing can be thrown: without this, the process
// aborts.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

namespace registryfs {

// Calls JavaScript from the event loop, where Node would make a mere deprecation warning of an exception left
// behind. False when the environment is going down: calls nothing any more.
inline bool CallFromLoop(Napi::Env env, napi_value function, napi_value argument) {
  if (function == nullptr || argument == nullptr) return false;
  if (napi_call_function(env, env.Undefined(), function, 1, &argument, nullptr) == napi_ok) return true;
  bool thrown = false;
  napi_value error;
  if (napi_is_exception_pending(env, &thrown) != napi_ok || !thrown) return false;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  return true;
}

}  // namespace registryfs
