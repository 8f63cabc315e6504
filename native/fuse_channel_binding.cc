#include "fuse_channel_binding.h"

#include <linux/fuse.h>

#include <cerrno>
#include <utility>

#include "fuse_mount.h"

namespace registryfs {

namespace {
// A read's answer is a header and a handful of views.
constexpr uint32_t kMaximumParts = 64;

// `parts`: an array of buffers.
int Gather(const Napi::Value& parts, iovec* gathered) {
  int count = 0;
  const Napi::Array array = parts.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length() && i < kMaximumParts; ++i) {
    const auto part = array.Get(i).As<Napi::Buffer<uint8_t>>();
    if (part.Length() > 0) gathered[count++] = {part.Data(), part.Length()};
  }
  return count;
}
}  // namespace

Napi::Function FuseChannelBinding::Define(Napi::Env env) {
  return DefineClass(env, "FuseChannel",
                     {InstanceMethod<&FuseChannelBinding::Reply>("reply"),
                      InstanceMethod<&FuseChannelBinding::Close>("close")});
}

FuseChannelBinding::FuseChannelBinding(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<FuseChannelBinding>(info),
      env_(info.Env()),
      shared_(std::make_shared<Shared>(Shared{this})),
      onEnd_(Napi::Persistent(info[2].As<Napi::Function>())) {
  auto* context = new std::shared_ptr<Shared>(shared_);
  messages_ = Napi::TypedThreadSafeFunction<std::shared_ptr<Shared>, Message, Deliver>::New(
      env_, info[1].As<Napi::Function>(), "registryfs:fuse", 0, 1, context,
      [](Napi::Env, void*, std::shared_ptr<Shared>* context) { delete context; });
  // After the queue's own hook, so that this one runs before it: the thread uses the queue.
  napi_add_env_cleanup_hook(env_, CleanUp, this);
  const auto send = [this](Message* message) {
    if (messages_.NonBlockingCall(message) != napi_ok) delete message;
  };
  channel_ = std::make_unique<FuseChannel>(
      info[0].As<Napi::Number>().Int32Value(),
      [send](std::vector<uint8_t> requests) {
        send(new Message{std::move(requests), -1});
      },
      [send](int error) {
        send(new Message{{}, error});
      });
}

Napi::Value FuseChannelBinding::Reply(const Napi::CallbackInfo& info) {
  return Write(static_cast<uint64_t>(info[0].As<Napi::Number>().DoubleValue()),
               -info[1].As<Napi::Number>().Int32Value(), info[2]);
}

Napi::Value FuseChannelBinding::Write(uint64_t unique, int32_t error, const Napi::Value& parts) {
  if (!channel_) return Napi::Number::New(env_, ENODEV);
  fuse_out_header header = {sizeof(header), error, unique};
  iovec written[kMaximumParts + 1] = {{&header, sizeof(header)}};
  const int count = 1 + Gather(parts, written + 1);
  for (int i = 1; i < count; ++i) header.len += static_cast<uint32_t>(written[i].iov_len);
  return Napi::Number::New(env_, channel_->Write(written, count));
}

Napi::Value FuseChannelBinding::Close(const Napi::CallbackInfo&) {
  CloseChannel();
  return env_.Undefined();
}

// The thread first: it uses the queue.
void FuseChannelBinding::CloseChannel() {
  if (!channel_) return;
  channel_.reset();
  shared_->owner = nullptr;
  messages_.Release();
  napi_remove_env_cleanup_hook(env_, CleanUp, this);
}

void FuseChannelBinding::CleanUp(void* self) {
  FuseChannelBinding* binding = static_cast<FuseChannelBinding*>(self);
  binding->channel_.reset();
  binding->shared_->owner = nullptr;
}

void FuseChannelBinding::Deliver(Napi::Env env, Napi::Function callback, std::shared_ptr<Shared>* context,
                                 Message* message) {
  const std::unique_ptr<Message> owned(message);
  if (env == nullptr || callback.IsEmpty()) return;
  FuseChannelBinding* const owner = (*context)->owner;
  if (owner == nullptr) return;
  if (message->error >= 0) {
    CallFromLoop(env, owner->onEnd_.Value(), Napi::Number::New(env, message->error));
  } else {
    CallFromLoop(env, callback,
                 Napi::Buffer<uint8_t>::Copy(env, message->requests.data(), message->requests.size()));
  }
}

namespace {

class MountWorker : public Napi::AsyncWorker {
 public:
  MountWorker(Napi::Env env, MountRequest request, Napi::Function done)
      : Napi::AsyncWorker(env), request_(std::move(request)), done_(Napi::Persistent(done)) {}

  void Execute() override { result_ = MountFuse(request_); }

  void OnOK() override {
    Napi::Object result = Napi::Object::New(Env());
    result.Set("descriptor", result_.descriptor);
    result.Set("errno", result_.error);
    result.Set("step", result_.step);
    result.Set("message", result_.message);
    CallFromLoop(Env(), done_.Value(), result);
  }

 private:
  const MountRequest request_;
  MountResult result_ = {-1, 0, "open", ""};
  Napi::FunctionReference done_;
};

}  // namespace

Napi::Value MountFuseAsync(const Napi::CallbackInfo& info) {
  const Napi::Object object = info[0].As<Napi::Object>();
  const auto text = [&object](const char* name) { return object.Get(name).As<Napi::String>().Utf8Value(); };
  MountRequest request;
  request.mountPoint = text("mountPoint");
  request.source = text("source");
  request.flags = static_cast<uint64_t>(object.Get("flags").As<Napi::Number>().Int64Value());
  request.kernelOptions = text("kernelOptions");
  request.helperOptions = text("helperOptions");
  auto* worker = new MountWorker(info.Env(), std::move(request), info[1].As<Napi::Function>());
  worker->Queue();
  return info.Env().Undefined();
}

}  // namespace registryfs
