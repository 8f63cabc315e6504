#pragma once

#include <linux/fuse.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "fuse_channel.h"
#include "linger.h"

namespace registryfs {

// What one of the threads of a channel reads with.
class FuseReceiver {
 public:
  // `closing`: no more is to be taken, whatever is still there.
  FuseReceiver(int descriptor, int wake, const std::atomic<bool>& closing, const FuseChannel::Events& events,
               ResidentSpans* resident, BareInodes bare);
  ~FuseReceiver();
  FuseReceiver(const FuseReceiver&) = delete;
  FuseReceiver& operator=(const FuseReceiver&) = delete;

  // Until there is a request, or the channel closes. The errno.
  int Wait();
  // Takes whatever is there, up to a batch. 0 when there is no more at present, else what ended the
  // connection.
  int Take();

 private:
  bool Answer(size_t length);
  bool AnswerRead(const fuse_in_header& request, size_t length);
  bool AnswerXattr(const fuse_in_header& request, size_t length);
  void PassOn();

  const int descriptor_;
  const int wake_;
  const std::atomic<bool>& closing_;
  const int poll_;
  const FuseChannel::Events& events_;
  ResidentSpans* const resident_;
  const BareInodes bare_;
  Linger linger_;
  std::vector<uint8_t> buffer_;
  std::vector<uint8_t> gathered_;
};

}  // namespace registryfs
