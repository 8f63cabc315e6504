#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace registryfs {

// The kernel's requests on one /dev/fuse, read by a thread of its own, as the bytes that they are
// (linux/fuse.h).
class FuseChannel {
 public:
  // On the reading thread. Whole requests, each with its length in front; what has gathered comes together.
  using OnRequests = std::function<void(std::vector<uint8_t> requests)>;
  // The last call: the errno that ended the connection; 0 when Close did.
  using OnEnd = std::function<void(int error)>;

  // Takes over the descriptor.
  FuseChannel(int descriptor, OnRequests onRequests, OnEnd onEnd);
  ~FuseChannel() { Close(); }
  FuseChannel(const FuseChannel&) = delete;
  FuseChannel& operator=(const FuseChannel&) = delete;

  // One message. The errno, 0 when the kernel has taken it.
  int Write(const iovec* parts, int count);

  // A file's number for FOPEN_PASSTHROUGH, or the negative errno.
  int OpenBacking(int file);
  // The errno, 0 when it is gone.
  int CloseBacking(int backing);

  // Stops the thread and closes the descriptor: a mount that is still there is dead then.
  void Close();

 private:
  void Run();
  int Read(std::vector<uint8_t>* requests);

  const int descriptor_;
  const int wake_;
  const OnRequests onRequests_;
  const OnEnd onEnd_;
  std::atomic<bool> closing_{false};
  std::vector<uint8_t> buffer_;
  std::thread thread_;
};

}  // namespace registryfs
