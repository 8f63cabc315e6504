#include "fuse_channel_binding.h"

#include <linux/fuse.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "arguments.h"
#include "blocking_verb.h"
#include "fuse_mount.h"

namespace registryfs {

namespace {
// A read's answer is a header and a handful of views.
constexpr uint32_t kMaximumParts = 64;

// `parts`: an array of buffers.
int Gather(const Argument& parts, iovec* gathered) {
  int count = 0;
  const uint32_t all = std::min(parts.Count(), kMaximumParts);
  for (uint32_t i = 0; i < all; ++i) {
    const Argument::Bytes part = parts.At(i).Data();
    if (part.length > 0) gathered[count++] = {part.data, part.length};
  }
  return count;
}

// Space and offset of one after another; null when the environment is going down.
napi_value PlacesOf(Napi::Env env, const std::vector<ResidentSpans::Place>& places) {
  Napi::Array numbers = Napi::Array::New(env, 2 * places.size());
  if (numbers.IsEmpty()) return nullptr;
  uint32_t index = 0;
  for (const ResidentSpans::Place& place : places) {
    numbers.Set(index++, static_cast<double>(place.space));
    numbers.Set(index++, static_cast<double>(place.offset));
  }
  return numbers;
}
}  // namespace

Napi::Function FuseChannelBinding::Define(Napi::Env env) {
  return DefineClass(
      env, "FuseChannel",
      {InstanceMethod<&FuseChannelBinding::Reply>("reply"), InstanceMethod<&FuseChannelBinding::Park>("park"),
       InstanceMethod<&FuseChannelBinding::TakeBack>("takeBack"),
       InstanceMethod<&FuseChannelBinding::OpenBacking>("openBacking"),
       InstanceMethod<&FuseChannelBinding::CloseBacking>("closeBacking"),
       InstanceMethod<&FuseChannelBinding::Close>("close")});
}

FuseChannelBinding::FuseChannelBinding(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<FuseChannelBinding>(info),
      env_(info.Env()),
      shared_(std::make_shared<Shared>(Shared{this})) {
  Arguments arguments(info);
  const int descriptor = arguments[0].Is(napi_number) ? static_cast<int>(arguments[0].Number()) : -1;
  onEnd_ = arguments[2].Keep();
  onTouched_ = arguments[3].Keep();
  std::shared_ptr<ResidentSpans> resident;
  if (arguments[4].Is(napi_object)) {
    table_ = arguments[4].Pin();
    const ResidentBinding* const table = ResidentBinding::Unwrap(info[4].As<Napi::Object>());
    if (table != nullptr) resident = table->Spans();
  }
  BareInodes bare;
  if (arguments[5].Is(napi_object)) {
    const Argument::Bytes shared = arguments[5].Data();
    bare_ = arguments[5].Pin();
    bare = BareInodes(shared.data, shared.length);
  }
  // Not wrapped, nobody would delete it.
  if (IsEmpty() || !arguments.AreWhole()) {
    if (descriptor >= 0) close(descriptor);
    return;
  }
  auto* context = new std::shared_ptr<Shared>(shared_);
  messages_ = Napi::TypedThreadSafeFunction<std::shared_ptr<Shared>, Message, Deliver>::New(
      env_, info[1].As<Napi::Function>(), "registryfs:fuse", 0, 1, context,
      [](Napi::Env, void*, std::shared_ptr<Shared>* context) { delete context; });
  // After the queue's own hook, so that this one runs before it: the thread uses the queue.
  napi_add_env_cleanup_hook(env_, CleanUp, this);
  const auto send = [this](Message* message) {
    if (messages_.NonBlockingCall(message) != napi_ok) delete message;
  };
  FuseChannel::Events events;
  events.onRequests = [send](std::vector<uint8_t> requests) {
    send(new Message{std::move(requests), {}, -1});
  };
  events.onTouched = [send](std::vector<ResidentSpans::Place> places) {
    send(new Message{{}, std::move(places), -1});
  };
  events.onEnd = [send](int error) { send(new Message{{}, {}, error}); };
  channel_ = std::make_unique<FuseChannel>(descriptor, std::move(events), std::move(resident), bare);
  const int error = channel_->startError();
  if (error == 0) return;
  CloseChannel();
  Napi::Error::New(env_, std::string("nobody can read the kernel's requests: ") + std::strerror(error))
      .ThrowAsJavaScriptException();
}

Napi::Value FuseChannelBinding::Reply(const Napi::CallbackInfo& info) {
  if (!channel_) return Napi::Number::New(env_, ENODEV);
  Arguments arguments(info);
  fuse_out_header header = {sizeof(header), -static_cast<int32_t>(arguments[1].Number()),
                            arguments[0].Whole()};
  iovec written[kMaximumParts + 1] = {{&header, sizeof(header)}};
  const int count = 1 + Gather(arguments[2], written + 1);
  // Less than the whole answer would be a wrong one; the channel is about to be closed.
  if (!arguments.AreWhole()) return Napi::Number::New(env_, ENODEV);
  for (int i = 1; i < count; ++i) header.len += static_cast<uint32_t>(written[i].iov_len);
  return Napi::Number::New(env_, channel_->Write(written, count));
}

Napi::Value FuseChannelBinding::Park(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint64_t unique = arguments[0].Whole();
  const uint64_t handle = arguments[1].Whole();
  const uint64_t offset = arguments[2].Whole();
  const size_t length = arguments[3].Whole();
  if (!channel_ || !arguments.AreWhole()) return Napi::Boolean::New(env_, false);
  return Napi::Boolean::New(env_, channel_->Parked().Park(unique, handle, offset, length));
}

Napi::Value FuseChannelBinding::TakeBack(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint64_t unique = arguments[0].Whole();
  if (!channel_ || !arguments.AreWhole()) return Napi::Boolean::New(env_, false);
  return Napi::Boolean::New(env_, channel_->Parked().TakeBack(unique));
}

Napi::Value FuseChannelBinding::OpenBacking(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int file = static_cast<int>(arguments[0].Number());
  if (!channel_ || !arguments.AreWhole()) return Napi::Number::New(env_, -ENODEV);
  return Napi::Number::New(env_, channel_->OpenBacking(file));
}

Napi::Value FuseChannelBinding::CloseBacking(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int backing = static_cast<int>(arguments[0].Number());
  if (!channel_ || !arguments.AreWhole()) return Napi::Number::New(env_, ENODEV);
  return Napi::Number::New(env_, channel_->CloseBacking(backing));
}

Napi::Value FuseChannelBinding::Close(const Napi::CallbackInfo&) {
  CloseChannel();
  return env_.Undefined();
}

// The threads first: they use the queue.
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
  } else if (!message->touched.empty()) {
    CallFromLoop(env, owner->onTouched_.Value(), PlacesOf(env, message->touched));
  } else {
    CallFromLoop(env, callback,
                 Napi::Buffer<uint8_t>::Copy(env, message->requests.data(), message->requests.size()));
  }
}

namespace {

class MountVerb : public BlockingVerb {
 public:
  MountVerb(Napi::Env env, Arguments& arguments) : BlockingVerb(env, arguments[1].Keep()) {
    const Argument request = arguments[0];
    request_.mountPoint = request.Get("mountPoint").Text();
    request_.source = request.Get("source").Text();
    request_.flags = request.Get("flags").Whole();
    request_.kernelOptions = request.Get("kernelOptions").Text();
    request_.helperOptions = request.Get("helperOptions").Text();
  }

  void Execute() override { result_ = MountFuse(request_); }

 protected:
  napi_value Answer() override {
    Napi::Object result = Napi::Object::New(Env());
    result.Set("descriptor", result_.descriptor);
    result.Set("errno", result_.error);
    result.Set("step", result_.step);
    result.Set("message", result_.message);
    return result;
  }

  // A mount that nobody serves would let every process hang that looks at it; this way it is dead.
  void Unheard() override {
    if (result_.descriptor >= 0) close(result_.descriptor);
  }

 private:
  MountRequest request_;
  MountResult result_ = {-1, 0, "open", ""};
};

}  // namespace

Napi::Value MountFuseAsync(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  auto verb = std::make_unique<MountVerb>(info.Env(), arguments);
  if (arguments.AreWhole()) verb.release()->Queue();
  return info.Env().Undefined();
}

}  // namespace registryfs
