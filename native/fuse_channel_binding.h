#pragma once

#include <memory>
#include <vector>

#include "addon_api.h"
#include "fuse_channel.h"
#include "resident_binding.h"

namespace registryfs {

// FuseChannel as a class of JavaScript: new FuseChannel(descriptor, onRequests, onEnd,
// onTouched, table, bare).
class FuseChannelBinding : public Napi::ObjectWrap<FuseChannelBinding> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit FuseChannelBinding(const Napi::CallbackInfo& info);
  ~FuseChannelBinding() override { CloseChannel(); }

 private:
  // What the reading threads send: requests, what they have answered from, or the end.
  struct Message {
    std::vector<uint8_t> requests;
    std::vector<ResidentSpans::Place> touched;
    int error = -1;
  };
  // Outlives this object in calls that are on their way.
  struct Shared {
    FuseChannelBinding* owner;
  };

  Napi::Value Reply(const Napi::CallbackInfo& info);
  Napi::Value Park(const Napi::CallbackInfo& info);
  Napi::Value TakeBack(const Napi::CallbackInfo& info);
  Napi::Value OpenBacking(const Napi::CallbackInfo& info);
  Napi::Value CloseBacking(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  void CloseChannel();
  static void CleanUp(void* self);
  static void Deliver(Napi::Env env, Napi::Function callback, std::shared_ptr<Shared>* context,
                      Message* message);

  Napi::Env env_;
  std::shared_ptr<Shared> shared_;
  Napi::FunctionReference onEnd_;
  Napi::FunctionReference onTouched_;
  // Whose memory the threads read.
  Napi::ObjectReference table_;
  Napi::ObjectReference bare_;
  Napi::TypedThreadSafeFunction<std::shared_ptr<Shared>, Message, Deliver> messages_;
  std::unique_ptr<FuseChannel> channel_;
};

// (request, done): see src/native.ts.
Napi::Value MountFuseAsync(const Napi::CallbackInfo& info);

}  // namespace registryfs
