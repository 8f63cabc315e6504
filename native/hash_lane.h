#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "sha256.h"
#include "thread.h"

namespace registryfs {

// A thread that hashes byte ranges in order. Ranges are lent until `done` was called for them; a mark calls
// back when everything before it is hashed.
class HashLane {
 public:
  // `hash` takes the bytes of one range; it runs on the lane's thread.
  explicit HashLane(std::function<void(const uint8_t*, size_t)> hash);
  ~HashLane() { Stop(); }

  // Once. 0, or the errno: there is no thread to be had.
  int Start() {
    return thread_.Start([this] { Run(); });
  }

  // Both block while the queue is full, until Stop.
  void Add(const uint8_t* data, size_t length, std::function<void()> done);
  void Mark(std::function<void()> reached) { Add(nullptr, 0, std::move(reached)); }
  // Bytes that lie nowhere: whoever finds zeros faster than they are hashed may go on, for as many as
  // kMaximumZeros.
  void AddZeros(uint64_t length);
  // Of these, what is not hashed yet.
  uint64_t zeros();
  // Room for so many bytes of the lane's own, to be added at once; false when it has enough of them.
  bool ReserveCopies(size_t bytes);
  void AddCopy(const uint8_t* data, size_t length);

  // Nobody waits for what is left: others go first from now on, should the processors be busy.
  void Defer() { deferred_ = true; }

  // Ends the thread soon, within a range if need be; what is queued is dropped.
  void Stop();

 private:
  struct Job {
    const uint8_t* data;  // nullptr: zeros
    uint64_t length;
    std::function<void()> done;
    std::vector<uint8_t> copy = {};  // where `data` lies, if it is the lane's own
  };

  void Run();
  void Push(Job job);
  void HashZeros(size_t length);
  void FinishJob(const Job& job);

  std::function<void(const uint8_t*, size_t)> hash_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  uint64_t zeros_ = 0;  // that are not hashed yet
  size_t copied_ = 0;   // neither
  std::atomic<bool> deferred_{false};
  std::atomic<bool> stopping_{false};
  Thread thread_;
};

}  // namespace registryfs
