#pragma once

#include <utility>

#include "addon_api.h"

namespace registryfs {

// A verb that blocks: Execute on a thread of libuv, then done(answer) on the main thread. An environment that
// goes down waits for those under way, and nobody hears of them any more. (No promises: one that is made
// while a worker thread is being terminated is a wild value.)
class BlockingVerb : public Napi::AsyncWorker {
 public:
  BlockingVerb(Napi::Env env, Napi::FunctionReference done)
      : Napi::AsyncWorker(env), done_(std::move(done)) {}

  void OnOK() final {
    if (!CallFromLoop(Env(), done_.Value(), Answer())) Unheard();
  }

 protected:
  // May be null when the environment is going down.
  virtual napi_value Answer() = 0;
  // What the answer was to hand over goes.
  virtual void Unheard() {}

 private:
  Napi::FunctionReference done_;
};

}  // namespace registryfs
