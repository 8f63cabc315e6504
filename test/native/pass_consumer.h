// What JavaScript's main thread is to a pass: takes its events one by one.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "../../native/event.h"

namespace registryfs {

class PassConsumer : public EventSink {
 public:
  void Emit(Event event) override {
    std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(std::move(event));
    changed_.notify_one();
  }

  // Waits for it.
  Event Next() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !events_.empty(); });
    Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Event> events_;
};

}  // namespace registryfs
