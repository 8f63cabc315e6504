#include "event_queue.h"

#include <memory>
#include <utility>

namespace registryfs {

namespace {

// As Event::Fault has them.
constexpr const char* kFaults[] = {"corrupt", "internal", "limit"};

Napi::Value ToBuffer(Napi::Env env, const uint8_t* data, size_t length) {
  return Napi::Buffer<uint8_t>::Copy(env, data, length);
}

Napi::Object ToObject(Napi::Env env, const Event& event) {
  Napi::Object object = Napi::Object::New(env);
  const auto number = [&](const char* name, uint64_t value) { object.Set(name, static_cast<double>(value)); };
  switch (event.kind) {
    case Event::Kind::kZeros: {
      object.Set("kind", "zeros");
      Napi::Float64Array runs = Napi::Float64Array::New(env, event.runs.size());
      if (runs.IsEmpty()) break;
      for (size_t i = 0; i < event.runs.size(); ++i) runs[i] = static_cast<double>(event.runs[i]);
      object.Set("runs", runs);
      break;
    }
    case Event::Kind::kBlock:
      object.Set("kind", "block");
      object.Set("zero", event.zero);
      object.Set("slot", event.zero ? -1.0 : static_cast<double>(event.slot));
      number("length", event.length);
      number("uncompressedOffset", event.uncompressedOffset);
      break;
    case Event::Kind::kCut:
      object.Set("kind", "cut");
      object.Set("atHeader", event.atHeader);
      number("uncompressedOffset", event.uncompressedOffset);
      break;
    case Event::Kind::kSpan:
      object.Set("kind", "span");
      number("compressedBitOffset", event.compressedBitOffset);
      number("compressedBitEnd", event.compressedBitEnd);
      number("uncompressedOffset", event.uncompressedOffset);
      number("uncompressedLength", event.length);
      number("crc32", event.crc32);
      object.Set("window", ToBuffer(env, event.bytes.data(), event.bytes.size()));
      number("windowLength", event.windowLength);
      object.Set("atHeader", event.atHeader);
      object.Set("zero", event.zero);
      break;
    case Event::Kind::kCheckpoint:
      object.Set("kind", "checkpoint");
      number("compressedBitOffset", event.compressedBitOffset);
      number("uncompressedOffset", event.uncompressedOffset);
      object.Set("state", ToBuffer(env, event.bytes.data(), event.bytes.size()));
      break;
    case Event::Kind::kChunk:
      object.Set("kind", "chunk");
      number("index", event.slot);
      object.Set("seal", ToBuffer(env, event.bytes.data(), event.bytes.size()));
      break;
    case Event::Kind::kConsumed:
      object.Set("kind", "consumed");
      number("compressedBytes", event.compressedBitOffset);
      break;
    case Event::Kind::kBlob:
      object.Set("kind", "blob");
      number("uncompressedBytes", event.uncompressedOffset);
      object.Set("blobSha256", ToBuffer(env, event.bytes.data(), 32));
      if (event.bytes.size() == 192) object.Set("blobSha512", ToBuffer(env, event.bytes.data() + 64, 64));
      break;
    case Event::Kind::kEnd:
      object.Set("kind", "end");
      number("compressedBytes", event.compressedBitOffset);
      number("uncompressedBytes", event.uncompressedOffset);
      object.Set("decodeSeconds", Napi::Number::New(env, event.threadSeconds));
      object.Set("blobSha256", ToBuffer(env, event.bytes.data(), 32));
      object.Set("tarSha256", ToBuffer(env, event.bytes.data() + 32, 32));
      if (event.bytes.size() < 192) break;
      object.Set("blobSha512", ToBuffer(env, event.bytes.data() + 64, 64));
      object.Set("tarSha512", ToBuffer(env, event.bytes.data() + 128, 64));
      break;
    case Event::Kind::kFailure:
      object.Set("kind", "failure");
      object.Set("reason", kFaults[static_cast<size_t>(event.fault)]);
      object.Set("message", event.message);
      number("compressedOffset", event.compressedBitOffset);
      number("uncompressedOffset", event.uncompressedOffset);
      break;
  }
  return object;
}

}  // namespace

EventQueue::EventQueue(Napi::Env env, Napi::Function callback,
                       std::function<void(const std::vector<Event>&)> before)
    : env_(env), shared_(std::make_shared<Shared>()) {
  shared_->before = std::move(before);
  auto* context = new std::shared_ptr<Shared>(shared_);
  function_ = Napi::TypedThreadSafeFunction<std::shared_ptr<Shared>, void, Deliver>::New(
      env, callback, "registryfs:events", 0, 1, context,
      [](Napi::Env, void*, std::shared_ptr<Shared>* context) { delete context; });
  KeepAlive(false);
}

void EventQueue::KeepAlive(bool busy) {
  if (busy) {
    function_.Ref(env_);
  } else {
    function_.Unref(env_);
  }
}

void EventQueue::Emit(Event event) {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  if (shared_->closed || shared_->ended) return;
  shared_->ended = event.kind == Event::Kind::kEnd || event.kind == Event::Kind::kFailure;
  shared_->events.push_back(std::move(event));
  if (shared_->scheduled) return;
  shared_->scheduled = function_.NonBlockingCall() == napi_ok;
}

void EventQueue::Close() {
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    if (shared_->closed) return;
    shared_->closed = true;
    shared_->events.clear();
    shared_->before = nullptr;
  }
  function_.Release();
}

void EventQueue::Deliver(Napi::Env env, Napi::Function callback, std::shared_ptr<Shared>* context, void*) {
  // The environment is going down.
  if (env == nullptr || callback.IsEmpty()) return;
  const std::shared_ptr<Shared> shared = *context;
  std::vector<Event> events;
  std::function<void(const std::vector<Event>&)> before;
  {
    std::lock_guard<std::mutex> lock(shared->mutex);
    shared->scheduled = false;
    if (shared->closed) return;
    events.swap(shared->events);
    before = shared->before;
  }
  if (before) before(events);
  Napi::Array array = Napi::Array::New(env, events.size());
  for (size_t i = 0; i < events.size(); ++i) array.Set(static_cast<uint32_t>(i), ToObject(env, events[i]));
  CallFromLoop(env, callback, array);
}

}  // namespace registryfs
