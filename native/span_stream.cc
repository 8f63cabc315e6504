#include "span_stream.h"

#include <algorithm>
#include <cstring>

#include "reference_marker.h"

namespace registryfs {

namespace {
constexpr size_t kScratchBytes = 64 << 10;
constexpr size_t kTrailerBytes = 8;
}  // namespace

SpanStream::SpanStream() : scratch_(kWindowBytes + kScratchBytes + BlockInflater::kSlackBytes) {
  last_ = scratch_.data() + kWindowBytes;
  told_ = last_;
}

const char* SpanStream::Begin(const SpanJob& job, SpanInflater& inflater) {
  if (job.bit > 7 || job.windowLength > kWindowBytes) return "a span request is out of range";
  if (job.zlib) {
    decoder_ = std::make_unique<ZlibInflater>();
  } else {
    decoder_ = std::make_unique<DeflateDecoder>();
  }
  header_.Reset();
  if (job.atHeader) return nullptr;
  history_ = job.windowLength;
  if (history_ > 0 && !inflater.ReadWindow(job, last_ - history_)) return "a window is damaged";
  decoder_->Reset();
  bit_ = job.bit;
  state_ = bit_ == 0 ? State::kData : State::kBit;
  return nullptr;
}

const char* SpanStream::Decode(const uint8_t** input, size_t inputLength, uint64_t* skip, uint8_t** output,
                               size_t outputLength) {
  if (!decoder_) return "a stream has not begun";
  const uint8_t* const inputEnd = *input + inputLength;
  uint8_t* const outputEnd = *output + outputLength;
  for (;;) {
    HandOn(skip, output, outputEnd);
    const uint64_t wanted = *skip + static_cast<uint64_t>(outputEnd - *output);
    if (wanted == 0) return nullptr;
    // In data more may come out without input.
    if (*input == inputEnd && state_ != State::kData) return nullptr;
    size_t left = static_cast<size_t>(inputEnd - *input);
    switch (state_) {
      case State::kBit:
        decoder_->Reset(8 - bit_, **input >> bit_);
        ++*input;
        state_ = State::kData;
        break;
      case State::kHeader: {
        const GzipHeader::Result result = header_.Feed(input, &left);
        if (result == GzipHeader::Result::kBad) return "a gzip header is damaged or cut off";
        if (result == GzipHeader::Result::kNeedMore) return nullptr;
        decoder_->Reset();
        history_ = 0;
        state_ = State::kData;
        break;
      }
      case State::kData: {
        const uint8_t* const before = *input;
        if (const char* problem = DecodeData(input, inputEnd, wanted)) {
          // What came out before it may be all that is wanted.
          HandOn(skip, output, outputEnd);
          return *skip == 0 && *output == outputEnd ? nullptr : problem;
        }
        if (state_ == State::kData && told_ == last_ && *input == inputEnd && before == inputEnd)
          return nullptr;
        break;
      }
      case State::kTrailer: {
        const size_t bytes = std::min(left, trailerLeft_);
        *input += bytes;
        trailerLeft_ -= bytes;
        if (trailerLeft_ > 0) return nullptr;
        header_.Reset();
        state_ = State::kHeader;
        break;
      }
    }
  }
}

// Into the scratch, from where it is handed on: what matches refer to must stay when the target is gone.
const char* SpanStream::DecodeData(const uint8_t** input, const uint8_t* inputEnd, uint64_t wanted) {
  uint8_t* const scratch = scratch_.data() + kWindowBytes;
  uint8_t* const scratchEnd = scratch + kScratchBytes;
  if (last_ >= scratchEnd) {
    std::memmove(scratch - history_, last_ - history_, history_);
    last_ = scratch;
    told_ = scratch;
  }
  const uint8_t* const made = last_;
  const ptrdiff_t room =
      static_cast<ptrdiff_t>(std::min<uint64_t>(wanted, static_cast<uint64_t>(scratchEnd - last_)));
  const BlockInflater::Status status =
      decoder_->Decode(input, inputEnd, last_ - history_, &last_, last_ + room);
  history_ = std::min(history_ + static_cast<size_t>(last_ - made), kWindowBytes);
  if (status == BlockInflater::Status::kCorrupt) return decoder_->problem();
  if (status == BlockInflater::Status::kStreamEnd) {
    trailerLeft_ = kTrailerBytes;
    state_ = State::kTrailer;
  }
  return nullptr;
}

void SpanStream::HandOn(uint64_t* skip, uint8_t** output, uint8_t* outputEnd) {
  const size_t skipped = static_cast<size_t>(std::min<uint64_t>(*skip, static_cast<uint64_t>(last_ - told_)));
  *skip -= skipped;
  const size_t bytes =
      static_cast<size_t>(std::min(last_ - told_ - static_cast<ptrdiff_t>(skipped), outputEnd - *output));
  crc_.Update(told_, skipped + bytes);
  // The last symbol may have made more than is wanted.
  if (bytes > 0) std::memcpy(*output, told_ + skipped, bytes);
  *output += bytes;
  told_ += skipped + bytes;
}

}  // namespace registryfs
