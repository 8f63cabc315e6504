#include "fuse_channel.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "fuse_receiver.h"
#include "kernel_write.h"

namespace registryfs {

namespace {
// Three gave nothing.
constexpr int kThreads = 2;

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

FuseChannel::FuseChannel(int descriptor, Events events, std::shared_ptr<ResidentSpans> resident,
                         BareInodes bare)
    : descriptor_(descriptor),
      wake_(eventfd(0, EFD_CLOEXEC)),
      events_(std::move(events)),
      resident_(std::move(resident)),
      bare_(bare),
      parked_(descriptor, resident_.get()) {
  if (wake_ < 0) startError_ = errno;
  fcntl(descriptor_, F_SETFL, fcntl(descriptor_, F_GETFL) | O_NONBLOCK);
  if (resident_) resident_->Watch(this, [this] { parked_.AnswerResident(); });
  // None ends before all are counted.
  const std::lock_guard<std::mutex> lock(ending_);
  for (int i = 0; startError_ == 0 && i < kThreads; ++i) {
    Thread thread;
    startError_ = thread.Start([this] { Run(); });
    if (startError_ == 0) threads_.push_back(std::move(thread));
  }
  running_ = static_cast<int>(threads_.size());
}

int FuseChannel::Write(const iovec* parts, int count) { return WriteToKernel(descriptor_, parts, count); }

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
  if (std::exchange(closed_, true)) return;
  WakeAll();
  // Nobody who inflates writes to it any more.
  if (resident_) resident_->Unwatch(this);
  for (Thread& thread : threads_) thread.Join();
  threads_.clear();
  close(descriptor_);
  if (wake_ >= 0) close(wake_);
}

// It stays readable: all who wait wake.
void FuseChannel::WakeAll() {
  closing_ = true;
  const uint64_t one = 1;
  const bool isWoken = wake_ >= 0 && write(wake_, &one, sizeof(one)) == sizeof(one);
  static_cast<void>(isWoken);
}

void FuseChannel::Run() {
  FuseReceiver receiver(descriptor_, wake_, closing_, events_, resident_.get(), bare_);
  int error = 0;
  while (error == 0 && !closing_) {
    error = receiver.Wait();
    if (error == 0 && !closing_) error = receiver.Take();
  }
  End(error);
}

// What ended one of them ends all.
void FuseChannel::End(int error) {
  WakeAll();
  const std::lock_guard<std::mutex> lock(ending_);
  if (error_ == 0) error_ = error;
  if (--running_ == 0) events_.onEnd(error_);
}

}  // namespace registryfs
