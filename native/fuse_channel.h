#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "bare_inodes.h"
#include "parked_reads.h"
#include "resident_spans.h"
#include "thread.h"

namespace registryfs {

// The kernel's requests on one /dev/fuse (linux/fuse.h), read by two threads: the one wakes while the other
// still answers. They answer reads of what is in memory, and for xattrs that are not there; everything else
// is passed on as the bytes that it is.
class FuseChannel {
 public:
  // All on the reading threads, also on both at once.
  struct Events {
    // Whole requests, each with its length in front; what has gathered comes together. Two that wait at the
    // same time may come in any order.
    std::function<void(std::vector<uint8_t> requests)> onRequests;
    // The last call: the errno that ended the connection; 0 when Close did.
    std::function<void(int error)> onEnd;
    // Reads have been answered from these.
    std::function<void(std::vector<ResidentSpans::Place> places)> onTouched;
  };

  // Takes over the descriptor. `resident` may be null.
  FuseChannel(int descriptor, Events events, std::shared_ptr<ResidentSpans> resident, BareInodes bare = {});
  ~FuseChannel() { Close(); }
  FuseChannel(const FuseChannel&) = delete;
  FuseChannel& operator=(const FuseChannel&) = delete;

  // The errno for which nobody reads it, 0 when all is well: with one thread it is too.
  int startError() const { return threads_.empty() ? startError_ : 0; }

  // One message. The errno, 0 when the kernel has taken it.
  int Write(const iovec* parts, int count);

  // Reads that the threads which inflate answer.
  ParkedReads& Parked() { return parked_; }

  // A file's number for FOPEN_PASSTHROUGH, or the negative errno.
  int OpenBacking(int file);
  // The errno, 0 when it is gone.
  int CloseBacking(int backing);

  // Stops the threads and closes the descriptor: a mount that is still there is dead then.
  void Close();

 private:
  void Run();
  void WakeAll();
  void End(int error);

  const int descriptor_;
  const int wake_;
  const Events events_;
  const std::shared_ptr<ResidentSpans> resident_;
  const BareInodes bare_;
  ParkedReads parked_;
  std::atomic<bool> closing_{false};
  std::mutex ending_;
  int running_ = 0;
  int error_ = 0;
  std::vector<Thread> threads_;
  int startError_ = 0;
  bool closed_ = false;
};

}  // namespace registryfs
