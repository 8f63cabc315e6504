#include "hash_lane.h"

#include <algorithm>

namespace registryfs {

namespace {
// Lent buffers bound the bytes; this bounds the marks and slivers.
constexpr size_t kMaximumJobs = 1024;
// Stop waits for no more than this.
constexpr size_t kStepBytes = 1 << 20;
}  // namespace

HashLane::HashLane(std::function<void(const uint8_t*, size_t)> hash)
    : hash_(std::move(hash)), thread_([this] { Run(); }) {}

void HashLane::Add(const uint8_t* data, size_t length, std::function<void()> done) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || jobs_.size() < kMaximumJobs; });
  if (stopping_) return;
  jobs_.push_back({data, length, std::move(done)});
  changed_.notify_all();
}

void HashLane::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void HashLane::Run() {
  for (;;) {
    Job job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
      changed_.notify_all();
    }
    for (size_t offset = 0; offset < job.length; offset += kStepBytes) {
      if (stopping_) return;
      hash_(job.data + offset, std::min(kStepBytes, job.length - offset));
    }
    if (job.done) job.done();
  }
}

}  // namespace registryfs
