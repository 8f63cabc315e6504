#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "addon_api.h"
#include "event.h"

namespace registryfs {

// Carries events from any thread to one JavaScript callback, in order; everything that has gathered goes in
// one call.
class EventQueue : public EventSink {
 public:
  // `before` sees each batch on the main thread before JavaScript does.
  EventQueue(Napi::Env env, Napi::Function callback, std::function<void(const std::vector<Event>&)> before);

  // What comes after an end or a failure is dropped.
  void Emit(Event event) override;

  // On the main thread: whether the process must not exit by itself; at first it may.
  void KeepAlive(bool busy);

  // On the main thread: drops what is queued, calls nothing any more.
  void Close();

 private:
  // Outlives the queue in calls that are on their way.
  struct Shared {
    std::mutex mutex;
    std::vector<Event> events;
    bool scheduled = false;
    bool ended = false;
    bool closed = false;
    std::function<void(const std::vector<Event>&)> before;
  };

  static void Deliver(Napi::Env env, Napi::Function callback, std::shared_ptr<Shared>* context, void* data);

  Napi::Env env_;
  std::shared_ptr<Shared> shared_;
  Napi::TypedThreadSafeFunction<std::shared_ptr<Shared>, void, Deliver> function_;
};

}  // namespace registryfs
