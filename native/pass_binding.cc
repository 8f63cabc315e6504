#include "pass_binding.h"

#include <string>

#include "copy_pass.h"
#include "zstd_pass.h"

namespace registryfs {

namespace {
uint64_t NumberOf(const Napi::Object& object, const char* name) {
  return static_cast<uint64_t>(object.Get(name).As<Napi::Number>().DoubleValue());
}

std::unique_ptr<InflatePass> MakePass(const std::string& codec, PassParameters parameters, EventSink* sink) {
  if (codec == "zstd") return std::make_unique<ZstdPass>(std::move(parameters), sink);
  if (codec == "none") return std::make_unique<CopyPass>(std::move(parameters), sink);
  return std::make_unique<InflatePass>(std::move(parameters), sink);
}
}  // namespace

Napi::Function PassBinding::Define(Napi::Env env) {
  return DefineClass(
      env, "Pass",
      {InstanceMethod<&PassBinding::Push>("push"), InstanceMethod<&PassBinding::Finish>("finish"),
       InstanceMethod<&PassBinding::ReleaseSlot>("releaseSlot"),
       InstanceMethod<&PassBinding::Close>("close")});
}

PassBinding::PassBinding(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<PassBinding>(info), env_(info.Env()) {
  const Napi::Object options = info[0].As<Napi::Object>();
  PassParameters parameters;
  parameters.spacingBytes = NumberOf(options, "spacingBytes");
  parameters.minimumCompressedBytes = NumberOf(options, "minimumCompressedBytes");
  parameters.maximumSpanBytes = NumberOf(options, "maximumSpanBytes");
  parameters.checkpointBytes = NumberOf(options, "checkpointBytes");
  parameters.chunkBytes = NumberOf(options, "chunkBytes");
  const Napi::Array slots = options.Get("slots").As<Napi::Array>();
  for (uint32_t i = 0; i < slots.Length(); ++i) {
    const auto slot = slots.Get(i).As<Napi::Buffer<uint8_t>>();
    parameters.slots.push_back(slot.Data());
    parameters.slotBytes = slot.Length();
    slots_.push_back(Napi::Persistent(slot));
  }
  blocks_.resize(slots_.size());
  queue_ = std::make_unique<EventQueue>(env_, options.Get("onEvents").As<Napi::Function>(),
                                        [this](const std::vector<Event>& events) { Return(events); });
  const Napi::Value sha512 = options.Get("sha512");
  parameters.sha512 = sha512.IsBoolean() && sha512.As<Napi::Boolean>().Value();
  const Napi::Value codec = options.Get("codec");
  pass_ = MakePass(codec.IsString() ? codec.As<Napi::String>().Utf8Value() : "gzip", std::move(parameters),
                   queue_.get());
  napi_add_env_cleanup_hook(env_, CleanUp, this);
  const Napi::Value resume = options.Get("resume");
  if (resume.IsObject()) {
    const Napi::Object from = resume.As<Napi::Object>();
    const auto state = from.Get("state").As<Napi::Buffer<uint8_t>>();
    const uint64_t bitOffset = NumberOf(from, "compressedBitOffset");
    pushed_ = bitOffset / 8;
    if (!pass_->Resume(bitOffset, NumberOf(from, "uncompressedOffset"), state.Data(), state.Length())) {
      CloseThreads();
      Napi::Error::New(env_, "the checkpoint is damaged").ThrowAsJavaScriptException();
      return;
    }
  }
  pass_->Start();
}

Napi::Value PassBinding::Push(const Napi::CallbackInfo& info) {
  if (!pass_) return env_.Undefined();
  const auto buffer = info[0].As<Napi::Buffer<uint8_t>>();
  if (buffer.Length() == 0) return env_.Undefined();
  pushed_ += buffer.Length();
  inputs_.push_back({pushed_, Napi::Persistent(buffer)});
  pass_->Push(buffer.Data(), buffer.Length());
  KeepAlive();
  return env_.Undefined();
}

Napi::Value PassBinding::Finish(const Napi::CallbackInfo&) {
  if (!pass_) return env_.Undefined();
  finished_ = true;
  pass_->Finish();
  KeepAlive();
  return env_.Undefined();
}

Napi::Value PassBinding::ReleaseSlot(const Napi::CallbackInfo& info) {
  const uint32_t slot = info[0].As<Napi::Number>().Uint32Value();
  // Released twice, a slot would be written to while others read it.
  if (!pass_ || slot >= blocks_.size() || !blocks_[slot]) return env_.Undefined();
  blocks_[slot] = false;
  pass_->ReleaseSlot(slot);
  return env_.Undefined();
}

Napi::Value PassBinding::Close(const Napi::CallbackInfo&) {
  CloseThreads();
  return env_.Undefined();
}

// Threads first: they use the buffers and the queue.
void PassBinding::CloseThreads() {
  if (!pass_) return;
  pass_->Close();
  pass_.reset();
  queue_->Close();
  inputs_.clear();
  slots_.clear();
  napi_remove_env_cleanup_hook(env_, CleanUp, this);
}

void PassBinding::CleanUp(void* self) {
  PassBinding* binding = static_cast<PassBinding*>(self);
  if (!binding->pass_) return;
  binding->pass_->Close();
  binding->pass_.reset();
  binding->queue_->Close();
}

void PassBinding::Return(const std::vector<Event>& events) {
  for (const Event& event : events) {
    if (event.kind == Event::Kind::kBlock) blocks_[event.slot] = true;
    if (event.kind == Event::Kind::kEnd || event.kind == Event::Kind::kFailure) ended_ = true;
    if (event.kind != Event::Kind::kConsumed) continue;
    while (!inputs_.empty() && inputs_.front().end <= event.compressedBitOffset) inputs_.pop_front();
  }
  KeepAlive();
}

// A pass with something to do keeps the process from exiting; one that waits for input, or is over, does not.
void PassBinding::KeepAlive() { queue_->KeepAlive(!ended_ && (finished_ || !inputs_.empty())); }

}  // namespace registryfs
