#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "addon_api.h"
#include "arguments.h"
#include "event_queue.h"
#include "inflate_pass.h"

namespace registryfs {

// InflatePass for JavaScript: holds what is lent to the threads for as long as they may touch it.
class PassBinding : public Napi::ObjectWrap<PassBinding> {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit PassBinding(const Napi::CallbackInfo& info);
  ~PassBinding() override { CloseThreads(); }

 private:
  struct Lent {
    uint64_t end;  // in the blob
    Napi::ObjectReference buffer;
  };

  Napi::Value Push(const Napi::CallbackInfo& info);
  Napi::Value Finish(const Napi::CallbackInfo& info);
  Napi::Value ReleaseSlot(const Napi::CallbackInfo& info);
  Napi::Value DecoderBytes(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  void CloseThreads();
  void Return(const std::vector<Event>& events);
  void KeepAlive();
  static void CleanUp(void* self);

  Napi::Env env_;
  std::vector<Napi::ObjectReference> slots_;
  std::vector<bool> blocks_;  // slots that JavaScript has
  std::deque<Lent> inputs_;
  uint64_t pushed_ = 0;
  bool finished_ = false;  // no more input
  bool ended_ = false;     // no more events
  std::unique_ptr<EventQueue> queue_;
  std::unique_ptr<InflatePass> pass_;
};

}  // namespace registryfs
