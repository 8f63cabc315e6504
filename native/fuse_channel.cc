#include "fuse_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace registryfs {

namespace {
// The longest request of a read-only mount is setxattr's value of 64 KiB, which is refused; the kernel wants
// FUSE_MIN_READ_BUFFER (8 KiB) at least.
constexpr size_t kRequestBytes = (64 << 10) + (4 << 10);
// Requests that are waiting go to JavaScript together, for each wake-up of it costs more than most of them.
constexpr size_t kBatchBytes = 64 << 10;
// Without an eventfd (too many open files) Close is noticed this late.
constexpr int kLookMs = 50;

// Of linux/fuse.h 7.40 (Linux 6.9), which is newer than many headers: struct fuse_backing_map,
// FUSE_DEV_IOC_BACKING_OPEN and FUSE_DEV_IOC_BACKING_CLOSE.
struct BackingMap {
  int32_t file;
  uint32_t flags;
  uint64_t padding;
};
constexpr unsigned long kOpenBacking = _IOW(229, 1, BackingMap);
constexpr unsigned long kCloseBacking = _IOW(229, 2, uint32_t);
}  // namespace

FuseChannel::FuseChannel(int descriptor, OnRequests onRequests, OnEnd onEnd)
    : descriptor_(descriptor),
      wake_(eventfd(0, EFD_CLOEXEC)),
      onRequests_(std::move(onRequests)),
      onEnd_(std::move(onEnd)),
      buffer_(kRequestBytes) {
  fcntl(descriptor_, F_SETFL, fcntl(descriptor_, F_GETFL) | O_NONBLOCK);
  thread_ = std::thread([this] { Run(); });
}

int FuseChannel::Write(const iovec* parts, int count) {
  while (writev(descriptor_, parts, count) < 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

int FuseChannel::OpenBacking(int file) {
  BackingMap map = {file, 0, 0};
  const int backing = ioctl(descriptor_, kOpenBacking, &map);
  return backing < 0 ? -errno : backing;
}

int FuseChannel::CloseBacking(int backing) {
  const uint32_t number = static_cast<uint32_t>(backing);
  return ioctl(descriptor_, kCloseBacking, &number) < 0 ? errno : 0;
}

void FuseChannel::Close() {
  if (!thread_.joinable()) return;
  closing_ = true;
  const uint64_t one = 1;
  const bool isWoken = wake_ >= 0 && write(wake_, &one, sizeof(one)) == sizeof(one);
  static_cast<void>(isWoken);
  thread_.join();
  close(descriptor_);
  if (wake_ >= 0) close(wake_);
}

void FuseChannel::Run() {
  int error = 0;
  while (error == 0) {
    pollfd waiting[] = {{descriptor_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (poll(waiting, 2, wake_ < 0 ? kLookMs : -1) < 0 && errno != EINTR) {
      error = errno;
      break;
    }
    if (closing_) break;
    std::vector<uint8_t> requests;
    error = Read(&requests);
    if (!requests.empty()) onRequests_(std::move(requests));
  }
  onEnd_(error);
}

// Whatever is there, up to a batch. 0 when there is no more at present, else what ended the connection.
int FuseChannel::Read(std::vector<uint8_t>* requests) {
  while (requests->size() < kBatchBytes) {
    const ssize_t length = read(descriptor_, buffer_.data(), buffer_.size());
    if (length >= 0) {
      requests->insert(requests->end(), buffer_.begin(), buffer_.begin() + length);
    } else if (errno == EAGAIN) {
      return 0;
    } else if (errno != EINTR && errno != ENOENT) {
      // ENOENT: the request was given up while it was being read.
      return errno;
    }
  }
  return 0;
}

}  // namespace registryfs
