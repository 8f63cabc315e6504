#include "pass_binding.h"

#include <string>

#include "copy_pass.h"
#include "zstd_pass.h"

namespace registryfs {

namespace {
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
       InstanceMethod<&PassBinding::DecoderBytes>("decoderBytes"),
       InstanceMethod<&PassBinding::Close>("close")});
}

PassBinding::PassBinding(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<PassBinding>(info), env_(info.Env()) {
  Arguments arguments(info);
  const Argument options = arguments[0];
  PassParameters parameters;
  parameters.spacingBytes = options.Get("spacingBytes").Whole();
  parameters.minimumCompressedBytes = options.Get("minimumCompressedBytes").Whole();
  parameters.maximumSpanBytes = options.Get("maximumSpanBytes").Whole();
  parameters.checkpointBytes = options.Get("checkpointBytes").Whole();
  parameters.chunkBytes = options.Get("chunkBytes").Whole();
  const Argument slots = options.Get("slots");
  const uint32_t slotCount = slots.Count();
  for (uint32_t i = 0; i < slotCount; ++i) {
    const Argument slot = slots.At(i);
    parameters.slots.push_back(slot.Data().data);
    parameters.slotBytes = slot.Data().length;
    slots_.push_back(slot.Pin());
  }
  blocks_.resize(slots_.size());
  const Argument sha512 = options.Get("sha512");
  parameters.sha512 = sha512.Is(napi_boolean) && sha512.Flag();
  const Argument zlib = options.Get("zlib");
  parameters.zlib = zlib.Is(napi_boolean) && zlib.Flag();
  const Argument lagBytes = options.Get("lagBytes");
  if (lagBytes.Is(napi_number)) parameters.lagBytes = lagBytes.Whole();
  const Argument codec = options.Get("codec");
  const std::string codecName = codec.Is(napi_string) ? codec.Text() : "gzip";
  const Argument resume = options.Get("resume");
  const bool resumes = resume.Is(napi_object);
  const uint64_t bitOffset = resumes ? resume.Get("compressedBitOffset").Whole() : 0;
  const uint64_t uncompressedOffset = resumes ? resume.Get("uncompressedOffset").Whole() : 0;
  const Argument::Bytes state = resumes ? resume.Get("state").Data() : Argument::Bytes{nullptr, 0};
  const Napi::FunctionReference onEvents = options.Get("onEvents").Keep();
  // Not wrapped, nobody would delete it.
  if (IsEmpty() || !arguments.AreWhole()) return;
  queue_ = std::make_unique<EventQueue>(env_, onEvents.Value(),
                                        [this](const std::vector<Event>& events) { Return(events); });
  pass_ = MakePass(codecName, std::move(parameters), queue_.get());
  napi_add_env_cleanup_hook(env_, CleanUp, this);
  if (resumes) {
    pushed_ = bitOffset / 8;
    if (!pass_->Resume(bitOffset, uncompressedOffset, state.data, state.length)) {
      CloseThreads();
      Napi::Error::New(env_, "the checkpoint is damaged").ThrowAsJavaScriptException();
      return;
    }
  }
  pass_->Start();
}

Napi::Value PassBinding::Push(const Napi::CallbackInfo& info) {
  if (!pass_) return env_.Undefined();
  Arguments arguments(info);
  const Argument::Bytes input = arguments[0].Data();
  Napi::ObjectReference buffer = arguments[0].Pin();
  if (input.length == 0 || !arguments.AreWhole()) return env_.Undefined();
  pushed_ += input.length;
  inputs_.push_back({pushed_, std::move(buffer)});
  pass_->Push(input.data, input.length);
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
  Arguments arguments(info);
  const double number = arguments[0].Number();
  const size_t slot = number >= 0 ? static_cast<size_t>(number) : blocks_.size();
  // Released twice, a slot would be written to while others read it.
  if (!pass_ || slot >= blocks_.size() || !blocks_[slot] || !arguments.AreWhole()) {
    return env_.Undefined();
  }
  blocks_[slot] = false;
  pass_->ReleaseSlot(static_cast<uint32_t>(slot));
  return env_.Undefined();
}

Napi::Value PassBinding::DecoderBytes(const Napi::CallbackInfo&) {
  return Napi::Number::New(env_, pass_ ? static_cast<double>(pass_->decoderBytes()) : 0);
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
    if (event.kind == Event::Kind::kBlock && !event.zero) blocks_[event.slot] = true;
    if (event.kind == Event::Kind::kEnd || event.kind == Event::Kind::kFailure) ended_ = true;
    if (event.kind != Event::Kind::kConsumed) continue;
    while (!inputs_.empty() && inputs_.front().end <= event.compressedBitOffset) inputs_.pop_front();
  }
  KeepAlive();
}

// A pass with something to do keeps the process from exiting; one that waits for input, or is over, does not.
void PassBinding::KeepAlive() { queue_->KeepAlive(!ended_ && (finished_ || !inputs_.empty())); }

}  // namespace registryfs
