#include "hash_lane.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

namespace registryfs {

namespace {
// Lent buffers bound the bytes; this bounds the marks and slivers.
constexpr size_t kMaximumJobs = 8192;
// About two seconds of hashing, and with the marks in it 4 MiB of checkpoints that wait.
constexpr uint64_t kMaximumZeros = uint64_t{4} << 30;
// What lies between the zeros of a disk that is mostly empty: superblocks, bitmaps, inodes.
constexpr size_t kMaximumCopied = 4 << 20;
// A tenth of what others get. With less, who waits for the end on a busy machine would wait for minutes.
constexpr int kDeferredBy = 10;
// From the nearest cache they are hashed the fastest.
constexpr uint8_t kZeros[16 << 10] = {};
// Stop waits for no more than this.
constexpr size_t kStepBytes = 1 << 20;
}  // namespace

HashLane::HashLane(std::function<void(const uint8_t*, size_t)> hash) : hash_(std::move(hash)) {}

void HashLane::Add(const uint8_t* data, size_t length, std::function<void()> done) {
  Push({data, length, std::move(done)});
}

void HashLane::AddZeros(uint64_t length) { Push({nullptr, length, nullptr}); }

uint64_t HashLane::zeros() {
  std::lock_guard<std::mutex> lock(mutex_);
  return zeros_;
}

bool HashLane::ReserveCopies(size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (copied_ + bytes > kMaximumCopied) return false;
  copied_ += bytes;
  return true;
}

void HashLane::AddCopy(const uint8_t* data, size_t length) {
  Job job = {nullptr, length, nullptr, std::vector<uint8_t>(data, data + length)};
  job.data = job.copy.data();
  Push(std::move(job));
}

void HashLane::Push(Job job) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock,
                [this] { return stopping_ || (jobs_.size() < kMaximumJobs && zeros_ < kMaximumZeros); });
  if (stopping_) return;
  if (job.data == nullptr) zeros_ += job.length;
  Job* const last = jobs_.empty() ? nullptr : &jobs_.back();
  if (last != nullptr && last->data == nullptr && job.data == nullptr && !last->done) {
    last->length += job.length;
    last->done = std::move(job.done);
  } else {
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

void HashLane::HashZeros(size_t length) {
  for (size_t offset = 0; offset < length; offset += sizeof(kZeros))
    hash_(kZeros, std::min(sizeof(kZeros), length - offset));
  std::lock_guard<std::mutex> lock(mutex_);
  zeros_ -= length;
  changed_.notify_all();
}

void HashLane::FinishJob(const Job& job) {
  if (!job.copy.empty()) {
    std::lock_guard<std::mutex> lock(mutex_);
    copied_ -= job.copy.size();
  }
  if (job.done) job.done();
}

void HashLane::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.Join();
}

void HashLane::Run() {
  bool wasDeferred = false;
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
    for (uint64_t offset = 0; offset < job.length; offset += kStepBytes) {
      if (stopping_) return;
      if (deferred_ && !std::exchange(wasDeferred, true)) {
        // Linux's niceness is a thread's own.
        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + kDeferredBy);
      }
      const size_t bytes = static_cast<size_t>(std::min<uint64_t>(kStepBytes, job.length - offset));
      if (job.data == nullptr) {
        HashZeros(bytes);
      } else {
        hash_(job.data + offset, bytes);
      }
    }
    FinishJob(job);
  }
}

}  // namespace registryfs
