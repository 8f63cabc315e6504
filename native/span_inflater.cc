#include "span_inflater.h"

#include <algorithm>

#include "gzip_header.h"
#include "reference_marker.h"

namespace registryfs {

namespace {
constexpr size_t kScratchBytes = 256 << 10;
constexpr size_t kTrailerBytes = 8;
}  // namespace

SpanInflater::SpanInflater() {
  inflateInit2(&stream_, -15);
  inflateInit2(&windowStream_, -15);
}

SpanInflater::~SpanInflater() {
  inflateEnd(&stream_);
  inflateEnd(&windowStream_);
}

const char* SpanInflater::Inflate(const SpanJob& job) {
  if (const char* problem = Prepare(job)) return problem;
  if (job.skipBytes > 0) scratch_.resize(kScratchBytes);
  for (uint64_t left = job.skipBytes; left > 0;) {
    const size_t bytes = static_cast<size_t>(std::min<uint64_t>(left, kScratchBytes));
    if (const char* problem = Fill(scratch_.data(), bytes)) return problem;
    left -= bytes;
  }
  if (const char* problem = Fill(job.target, job.targetLength)) return problem;
  if (job.checkCrc && crc32(0, job.target, static_cast<uInt>(job.targetLength)) != job.crc) {
    return "the CRC-32 of a span is wrong";
  }
  return nullptr;
}

const char* SpanInflater::Prepare(const SpanJob& job) {
  next_ = job.input;
  left_ = job.inputLength;
  inflateReset2(&stream_, -15);
  if (job.bit > 7 || job.windowLength > kWindowBytes) return "a span request is out of range";
  if (job.atHeader) return NextMember();
  if (job.windowLength > 0) {
    uint8_t window[kWindowBytes];
    inflateReset2(&windowStream_, -15);
    windowStream_.next_in = const_cast<uint8_t*>(job.window);
    windowStream_.avail_in = static_cast<uInt>(job.windowDeflatedLength);
    windowStream_.next_out = window;
    windowStream_.avail_out = job.windowLength;
    if (inflate(&windowStream_, Z_FINISH) != Z_STREAM_END || windowStream_.avail_out != 0)
      return "a window is damaged";
    inflateSetDictionary(&stream_, window, job.windowLength);
  }
  if (job.bit != 0) {
    if (left_ == 0) return "a span has no input";
    inflatePrime(&stream_, static_cast<int>(8 - job.bit), *next_ >> job.bit);
    ++next_;
    --left_;
  }
  return nullptr;
}

const char* SpanInflater::NextMember() {
  GzipHeader header;
  header.Reset();
  if (header.Feed(&next_, &left_) != GzipHeader::Result::kDone) return "a gzip header is damaged or cut off";
  inflateReset2(&stream_, -15);
  return nullptr;
}

const char* SpanInflater::Fill(uint8_t* target, size_t length) {
  size_t filled = 0;
  while (filled < length) {
    stream_.next_in = const_cast<uint8_t*>(next_);
    stream_.avail_in = static_cast<uInt>(std::min<size_t>(left_, 1u << 30));
    stream_.next_out = target + filled;
    stream_.avail_out = static_cast<uInt>(std::min<size_t>(length - filled, 1u << 30));
    const uInt roomBefore = stream_.avail_out;
    const uInt inputBefore = stream_.avail_in;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    next_ += inputBefore - stream_.avail_in;
    left_ -= inputBefore - stream_.avail_in;
    filled += roomBefore - stream_.avail_out;
    if (result == Z_STREAM_END) {
      if (filled == length) break;
      if (left_ < kTrailerBytes) return "a span is cut off";
      next_ += kTrailerBytes;
      left_ -= kTrailerBytes;
      if (const char* problem = NextMember()) return problem;
    } else if (result == Z_BUF_ERROR ||
               (result == Z_OK && left_ == 0 && filled < length && stream_.avail_out != 0)) {
      return "a span is cut off";
    } else if (result != Z_OK) {
      return stream_.msg != nullptr ? stream_.msg : "inflate failed";
    }
  }
  return nullptr;
}

}  // namespace registryfs
