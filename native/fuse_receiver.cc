#include "fuse_receiver.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "kernel_write.h"
#include "resident_answer.h"

namespace registryfs {

namespace {
// The longest request of a read-only mount is setxattr's value of 64 KiB, which is refused; the kernel wants
// FUSE_MIN_READ_BUFFER (8 KiB) at least.
constexpr size_t kRequestBytes = (64 << 10) + (4 << 10);
// Requests that are waiting go to JavaScript together, for each wake-up of it costs more than most of them.
constexpr size_t kBatchBytes = 64 << 10;
// As src/fuse/fuse-answers.ts has it.
constexpr uint32_t kMaximumReadBytes = 1 << 20;
// To copy more takes longer than to wake a thread.
constexpr uint32_t kQuickReadBytes = 128 << 10;

// Names that the kernel and ls ask for, of every file: as src/fuse/kernel-constants.ts has them.
constexpr const char* kQuickPrefixes[] = {"security.", "system.", "trusted."};

bool IsQuick(const char* name) {
  return std::any_of(std::begin(kQuickPrefixes), std::end(kQuickPrefixes), [name](const char* prefix) {
    return std::strncmp(name, prefix, std::strlen(prefix)) == 0;
  });
}

// Of both descriptors. A request wakes one of those who wait for it, not all.
int MakePoll(int descriptor, int wake) {
  const int made = epoll_create1(EPOLL_CLOEXEC);
  if (made < 0) return -1;
  epoll_event request = {EPOLLIN | EPOLLEXCLUSIVE, {}};
  epoll_event closing = {EPOLLIN, {}};
  if (epoll_ctl(made, EPOLL_CTL_ADD, descriptor, &request) == 0 &&
      epoll_ctl(made, EPOLL_CTL_ADD, wake, &closing) == 0)
    return made;
  close(made);
  return -1;
}
}  // namespace

FuseReceiver::FuseReceiver(int descriptor, int wake, const std::atomic<bool>& closing,
                           const FuseChannel::Events& events, ResidentSpans* resident, BareInodes bare)
    : descriptor_(descriptor),
      wake_(wake),
      closing_(closing),
      poll_(MakePoll(descriptor, wake)),
      events_(events),
      resident_(resident),
      bare_(bare),
      buffer_(kRequestBytes) {}

FuseReceiver::~FuseReceiver() {
  if (poll_ >= 0) close(poll_);
}

int FuseReceiver::Wait() {
  epoll_event events[2];
  pollfd waiting[] = {{descriptor_, POLLIN, 0}, {wake_, POLLIN, 0}};
  const int found = poll_ >= 0 ? epoll_wait(poll_, events, 2, -1) : poll(waiting, 2, -1);
  return found < 0 && errno != EINTR ? errno : 0;
}

int FuseReceiver::Take() {
  int error = 0;
  // Reads that are answered here gather nothing, and may never end.
  while (gathered_.size() < kBatchBytes && !closing_) {
    const ssize_t length = read(descriptor_, buffer_.data(), buffer_.size());
    if (length >= 0) {
      linger_.End();
      if (!Answer(length)) gathered_.insert(gathered_.end(), buffer_.begin(), buffer_.begin() + length);
    } else if (errno == EAGAIN) {
      if (!linger_.GoesOn()) break;
    } else if (errno != EINTR && errno != ENOENT) {
      // ENOENT: the request was given up while it was being read.
      error = errno;
      break;
    }
  }
  PassOn();
  return error;
}

void FuseReceiver::PassOn() {
  if (!gathered_.empty()) events_.onRequests(std::exchange(gathered_, {}));
}

// False: it is JavaScript's, also when the kernel does not take the answer.
bool FuseReceiver::Answer(size_t length) {
  fuse_in_header request;
  if (length < sizeof(request)) return false;
  std::memcpy(&request, buffer_.data(), sizeof(request));
  if (request.opcode == FUSE_READ) return AnswerRead(request, length);
  return request.opcode == FUSE_GETXATTR && AnswerXattr(request, length);
}

bool FuseReceiver::AnswerRead(const fuse_in_header& request, size_t length) {
  fuse_read_in asked;
  if (resident_ == nullptr || length < sizeof(request) + sizeof(asked)) return false;
  std::memcpy(&asked, buffer_.data() + sizeof(request), sizeof(asked));
  ResidentSpans::Found found(resident_);
  if (!resident_->Find(asked.fh, asked.offset, std::min(asked.size, kMaximumReadBytes), &found)) return false;
  // There may be no end of reads that are answered here.
  PassOn();
  if (AnswerFound(descriptor_, request.unique, found) != 0) return false;
  resident_->CountAnswer();
  if (asked.size <= kQuickReadBytes) linger_.Begin();
  if (!found.touched.empty()) events_.onTouched(std::move(found.touched));
  return true;
}

// Whatever size is asked for, there is none. What is not a name is JavaScript's.
bool FuseReceiver::AnswerXattr(const fuse_in_header& request, size_t length) {
  constexpr size_t kHeadBytes = sizeof(request) + sizeof(fuse_getxattr_in);
  if (length <= kHeadBytes || !bare_.Has(request.nodeid)) return false;
  const char* const name = reinterpret_cast<const char*>(buffer_.data()) + kHeadBytes;
  if (std::memchr(name, 0, length - kHeadBytes) == nullptr || !IsQuick(name)) return false;
  fuse_out_header header = {sizeof(header), -ENODATA, request.unique};
  const iovec written = {&header, sizeof(header)};
  // There may be no end of questions that are answered here.
  PassOn();
  const int error = WriteToKernel(descriptor_, &written, 1);
  if (error != 0 && error != ENOENT) return false;
  bare_.CountAnswer();
  linger_.Begin();
  return true;
}

}  // namespace registryfs
