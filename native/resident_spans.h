#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

namespace registryfs {

// Bytes of layers that lie in memory, and the open files that lie in those layers. JavaScript says what is
// here (src/blob/resident-spans.ts), the threads that read /dev/fuse look it up. A span is bytes from an
// offset of a space on, a space the tar of one layer, of which the first so many bytes may be shown.
class ResidentSpans {
 public:
  struct Place {
    uint64_t space;
    uint64_t offset;
  };

 private:
  struct Span {
    const uint8_t* data;
    size_t length;
    // Reads that write from it.
    int holders = 0;
    // The last one in which it was read.
    uint64_t epoch = 0;
    // Not published yet.
    bool isOffered = false;
  };

 public:
  // A read of more pieces is JavaScript's.
  static constexpr int kMaximumParts = 16;

  // What a read found, which stays where it is as long as this lives.
  class Found {
   public:
    explicit Found(ResidentSpans* spans) : spans_(spans) {}
    ~Found() { spans_->Release(this); }
    Found(const Found&) = delete;
    Found& operator=(const Found&) = delete;

    const iovec* Parts() const { return parts_.data(); }
    int Count() const { return count_; }

    // The spans that were read for the first time in this epoch.
    std::vector<Place> touched;

   private:
    friend class ResidentSpans;

    ResidentSpans* const spans_;
    std::array<iovec, kMaximumParts> parts_;
    std::array<Span*, kMaximumParts> held_;
    int count_ = 0;
  };

  // Only `bytes` from the start of a space are shown; none at first.
  void ShowUpTo(uint64_t space, uint64_t bytes);
  // Takes the place of a span that was there; of the same one if it was offered, and then nobody waits.
  void Publish(const Place& place, const uint8_t* data, size_t length);
  // Waits for those that write from it: of 1 MiB at most.
  void Withdraw(const Place& place);

  // What a thread has inflated is read from now on, where there is nothing yet: until JavaScript, which hears
  // of it later, publishes or retracts it. Not what was begun before the last renewal of its space.
  void Offer(const Place& place, const uint8_t* data, size_t length, uint64_t generation);
  // Withdraws what was offered there, and not published.
  void Retract(const Place& place);
  uint64_t GenerationOf(uint64_t space);
  // What is being inflated for it turned out to be of no use.
  void Renew(uint64_t space);

  // `onOffered` is called after offers, on the threads that make them, until Unwatch has returned.
  void Watch(const void* watcher, std::function<void()> onOffered);
  void Unwatch(const void* watcher);

  // `handle` is a file of `size` bytes from `place` on.
  void OpenFile(uint64_t handle, const Place& place, uint64_t size);
  void CloseFile(uint64_t handle);
  void CloseAllFiles();
  bool IsOpen(uint64_t handle);

  // From now on what is read counts as touched anew.
  void BeginEpoch();

  // Up to `length` bytes from `offset` of an open file, fewer at its end only. False, with nothing found,
  // where not all of that is here.
  bool Find(uint64_t handle, uint64_t offset, size_t length, Found* found);

  // An answer was made of what was found.
  void CountAnswer() { answers_.fetch_add(1, std::memory_order_relaxed); }
  uint64_t Answers() const { return answers_.load(std::memory_order_relaxed); }

 private:
  struct Space {
    uint64_t shownBytes = 0;
    uint64_t generation = 0;
    // By offset.
    std::map<uint64_t, Span> spans;
  };
  struct File {
    Place place;
    uint64_t size;
  };

  void Release(Found* found);
  void Hold(const Place& place, Span* span, uint64_t at, size_t length, Found* found);
  void WithdrawLocked(const Place& place, std::unique_lock<std::mutex>* lock);

  std::mutex mutex_;
  std::condition_variable released_;
  int waiting_ = 0;
  uint64_t epoch_ = 1;
  std::unordered_map<uint64_t, Space> spaces_;
  std::unordered_map<uint64_t, File> files_;
  std::shared_mutex watching_;
  std::map<const void*, std::function<void()>> watchers_;
  std::atomic<uint64_t> answers_{0};
};

}  // namespace registryfs
