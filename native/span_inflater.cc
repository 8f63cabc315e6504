#include "span_inflater.h"

#include <algorithm>
#include <cstring>

#include "gzip_header.h"
#include "reference_marker.h"
#include "sparse_window.h"

namespace registryfs {

namespace {
constexpr size_t kScratchBytes = 64 << 10;
// So that the CRC-32 finds it in the cache.
constexpr ptrdiff_t kStepBytes = 256 << 10;
// At the end of a target.
constexpr ptrdiff_t kDirectBytes = BlockInflater::kSlackBytes;
constexpr size_t kTrailerBytes = 8;
}  // namespace

SpanInflater::SpanInflater()
    : scratch_(kWindowBytes + kScratchBytes + BlockInflater::kSlackBytes), packed_(kMaximumPackedWindow) {
  inflateInit2(&windowStream_, -15);
}

SpanInflater::~SpanInflater() { inflateEnd(&windowStream_); }

const char* SpanInflater::Inflate(const SpanJob& job) {
  if (const char* problem = Prepare(job)) return problem;
  if (const char* problem = Decode(job)) return problem;
  if (job.checkCrc && crc_.value() != job.crc) return "the CRC-32 of a span is wrong";
  return nullptr;
}

const char* SpanInflater::Prepare(const SpanJob& job) {
  next_ = job.input;
  left_ = job.inputLength;
  crc_.Reset();
  if (job.zlib && !zlib_) zlib_ = std::make_unique<ZlibInflater>();
  decoder_ = job.zlib ? static_cast<BlockInflater*>(zlib_.get()) : &own_;
  if (job.bit > 7 || job.windowLength > kWindowBytes) return "a span request is out of range";
  if (job.atHeader) return NextMember();
  history_ = job.windowLength;
  if (history_ > 0 && !ReadWindow(job, scratch_.data() + kWindowBytes - history_))
    return "a window is damaged";
  decoder_->Reset();
  if (job.bit != 0) {
    if (left_ == 0) return "a span has no input";
    decoder_->Reset(8 - job.bit, *next_ >> job.bit);
    ++next_;
    --left_;
  }
  return nullptr;
}

bool SpanInflater::ReadWindow(const SpanJob& job, uint8_t* window) {
  inflateReset2(&windowStream_, -15);
  windowStream_.next_in = const_cast<uint8_t*>(job.window);
  windowStream_.avail_in = static_cast<uInt>(job.windowDeflatedLength);
  windowStream_.next_out = packed_.data();
  windowStream_.avail_out = static_cast<uInt>(packed_.size());
  if (inflate(&windowStream_, Z_FINISH) != Z_STREAM_END) return false;
  return UnpackWindow(packed_.data(), packed_.size() - windowStream_.avail_out, window, job.windowLength);
}

const char* SpanInflater::NextMember() {
  GzipHeader header;
  header.Reset();
  if (header.Feed(&next_, &left_) != GzipHeader::Result::kDone) return "a gzip header is damaged or cut off";
  decoder_->Reset();
  history_ = 0;
  return nullptr;
}

// Into the scratch while something is to be skipped, while what matches refer to does not lie in the target,
// and at its end, behind which nothing may be written; otherwise into the target itself.
const char* SpanInflater::Decode(const SpanJob& job) {
  uint64_t skip = job.skipBytes;
  uint8_t* target = job.target;
  uint8_t* const targetEnd = job.target + job.targetLength;
  uint8_t* const scratch = scratch_.data() + kWindowBytes;
  uint8_t* const scratchEnd = scratch + kScratchBytes;
  uint8_t* last = scratch;  // behind the newest output
  bool inScratch = true;
  while (skip > 0 || target < targetEnd) {
    const bool direct = skip == 0 && targetEnd - target > kDirectBytes &&
                        static_cast<size_t>(target - job.target) >= history_;
    if (direct) {
      last = target;
    } else if (!inScratch || last >= scratchEnd) {
      std::memmove(scratch - history_, last - history_, history_);
      last = scratch;
    }
    inScratch = !direct;
    const uint64_t wanted = skip + static_cast<uint64_t>(targetEnd - target);
    const ptrdiff_t room =
        direct ? std::min(targetEnd - target - kDirectBytes, kStepBytes)
               : static_cast<ptrdiff_t>(std::min<uint64_t>(wanted, static_cast<uint64_t>(scratchEnd - last)));
    const uint8_t* const inputEnd = next_ + left_;
    uint8_t* made = last;
    const BlockInflater::Status status =
        decoder_->Decode(&next_, inputEnd, last - history_, &last, last + room);
    left_ = static_cast<size_t>(inputEnd - next_);
    history_ = std::min(history_ + static_cast<size_t>(last - made), kWindowBytes);
    const size_t skipped = std::min<uint64_t>(skip, static_cast<uint64_t>(last - made));
    skip -= skipped;
    made += skipped;
    // The last symbol may have made more than is wanted.
    const size_t bytes = static_cast<size_t>(std::min(last - made, targetEnd - target));
    // Nothing may be wanted, and then there may be no target.
    if (!direct && bytes > 0) std::memcpy(target, made, bytes);
    if (job.checkCrc) crc_.Update(target, bytes);
    target += bytes;
    if (skip == 0 && target == targetEnd) break;
    if (status == BlockInflater::Status::kCorrupt) return decoder_->problem();
    if (status == BlockInflater::Status::kNeedInput) return "a span is cut off";
    if (status == BlockInflater::Status::kStreamEnd) {
      if (left_ < kTrailerBytes) return "a span is cut off";
      next_ += kTrailerBytes;
      left_ -= kTrailerBytes;
      if (const char* problem = NextMember()) return problem;
    }
  }
  return nullptr;
}

}  // namespace registryfs
