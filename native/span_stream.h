#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "gzip_header.h"
#include "span_inflater.h"

namespace registryfs {

// Inflates from a seek point on, forward, wherever the input is cut and as far as somebody wants: for spans
// too long to be held. It keeps what matches refer to.
class SpanStream {
 public:
  SpanStream();

  // Of the job the place, the window and the decoder count. Null when all is well, else what is wrong.
  const char* Begin(const SpanJob& job, SpanInflater& inflater);
  // Takes from the input, throws up to *skip bytes away, then fills the output as far as that goes.
  const char* Decode(const uint8_t** input, size_t inputLength, uint64_t* skip, uint8_t** output,
                     size_t outputLength);
  // Of all that came out, thrown away or not.
  uint32_t crc() const { return crc_.value(); }

 private:
  enum class State { kBit, kHeader, kData, kTrailer };

  void HandOn(uint64_t* skip, uint8_t** output, uint8_t* outputEnd);
  const char* DecodeData(const uint8_t** input, const uint8_t* inputEnd, uint64_t wanted);

  std::unique_ptr<BlockInflater> decoder_;
  GzipHeader header_;
  RunningCrc32 crc_;
  State state_ = State::kHeader;
  unsigned bit_ = 0;
  size_t trailerLeft_ = 0;
  std::vector<uint8_t> scratch_;  // a window, output, and what the decoder may write behind that
  size_t history_ = 0;            // before `last_`
  uint8_t* last_;                 // behind the newest output
  uint8_t* told_;                 // up to here it was handed on
};

}  // namespace registryfs
