#pragma once

#include <sys/uio.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace registryfs {

// Gives pages to the kernel (FUSE_NOTIFY_STORE) and takes them back (FUSE_NOTIFY_INVAL_INODE) on a thread of
// its own. The thread can be stuck in the kernel until reads are answered or the connection ends, so it is
// never joined: it owns what it uses, with a descriptor of its own.
class PageStore {
 public:
  static std::shared_ptr<PageStore> Start(int descriptor);
  ~PageStore();
  PageStore(const PageStore&) = delete;
  PageStore& operator=(const PageStore&) = delete;

  // FUSE_NOTIFY_STORE of a copy; false when there is no room.
  bool Add(uint64_t inode, uint64_t offset, const iovec* parts, int count);
  // Any notification, a copy of it, after what was queued before; never refused.
  void Notify(int32_t code, const iovec* parts, int count);
  // What is queued is dropped.
  void Stop();

 private:
  explicit PageStore(int descriptor) : descriptor_(descriptor) {}
  void Run();
  // Room in memory of earlier messages where there is some; both with the mutex held.
  std::vector<uint8_t> TakeFree();
  void Queue(std::vector<uint8_t> message);

  const int descriptor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  // Whole messages, and memory of earlier ones.
  std::deque<std::vector<uint8_t>> queued_;
  std::vector<std::vector<uint8_t>> free_;
};

}  // namespace registryfs
