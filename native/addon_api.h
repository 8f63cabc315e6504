#pragma once

// In a worker thread that is being terminated calls fail and nothing can be thrown: without this, the process
// aborts.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

namespace registryfs {

// Calls JavaScript from the event loop, where Node would make a mere deprecation warning of an exception left
// behind.
inline void CallFromLoop(Napi::Env env, napi_value function, napi_value argument) {
  if (napi_call_function(env, env.Undefined(), function, 1, &argument, nullptr) == napi_ok) return;
  bool thrown = false;
  napi_value error;
  if (napi_is_exception_pending(env, &thrown) != napi_ok || !thrown) return;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

}  // namespace registryfs
