#include "parked_reads.h"

#include <linux/fuse.h>
#include <unistd.h>

#include <cerrno>

#include "resident_answer.h"

namespace registryfs {

bool ParkedReads::Park(uint64_t unique, uint64_t handle, uint64_t offset, size_t length) {
  if (spans_ == nullptr || !spans_->IsOpen(handle)) return false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    reads_[unique] = {handle, offset, length};
  }
  // What was offered before it was parked nobody would tell it.
  ResidentSpans::Found found(spans_);
  if (spans_->Find(handle, offset, length, &found) && TakeBack(unique)) Answer(unique, found);
  return true;
}

bool ParkedReads::TakeBack(uint64_t unique) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return reads_.erase(unique) > 0;
}

// One by one: a span that is withdrawn waits for whoever writes from it.
void ParkedReads::AnswerResident() {
  uint64_t unique = 0;
  for (;;) {
    ResidentSpans::Found found(spans_);
    if (!Claim(unique + 1, &unique, &found)) return;
    Answer(unique, found);
  }
}

// The first one with a number from `from` on of which all is here.
bool ParkedReads::Claim(uint64_t from, uint64_t* unique, ResidentSpans::Found* found) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto read = reads_.lower_bound(from); read != reads_.end(); ++read) {
    const Read& wanted = read->second;
    if (!spans_->Find(wanted.handle, wanted.offset, wanted.length, found)) continue;
    *unique = read->first;
    reads_.erase(read);
    return true;
  }
  return false;
}

// Nobody else answers it any more.
void ParkedReads::Answer(uint64_t unique, const ResidentSpans::Found& found) {
  if (AnswerFound(descriptor_, unique, found) == 0) {
    spans_->CountAnswer();
    return;
  }
  const fuse_out_header failure = {sizeof(failure), -EIO, unique};
  ssize_t written;
  do {
    written = write(descriptor_, &failure, sizeof(failure));
  } while (written < 0 && errno == EINTR);
}

}  // namespace registryfs
