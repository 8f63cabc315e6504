#pragma once

#include <zlib.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "deflate_decoder.h"
#include "running_crc32.h"
#include "zlib_inflater.h"

namespace registryfs {

struct SpanJob {
  const uint8_t* input;
  size_t inputLength;
  unsigned bit;  // of input[0]
  bool atHeader;
  const uint8_t* window;  // raw deflate of it, packed
  size_t windowDeflatedLength;
  uint32_t windowLength;
  uint64_t skipBytes;
  uint8_t* target;
  size_t targetLength;
  bool checkCrc;
  uint32_t crc;
  bool zlib = false;  // instead of our own decoder
};

// Inflates from a seek point. One per thread; its memory is reused.
class SpanInflater {
 public:
  SpanInflater();
  ~SpanInflater();
  SpanInflater(const SpanInflater&) = delete;
  SpanInflater& operator=(const SpanInflater&) = delete;

  // Null when all is well, else what is wrong.
  const char* Inflate(const SpanJob& job);
  // The job's, of windowLength bytes. False when it is damaged.
  bool ReadWindow(const SpanJob& job, uint8_t* window);

 private:
  const char* Prepare(const SpanJob& job);
  const char* Decode(const SpanJob& job);
  const char* NextMember();

  DeflateDecoder own_;
  std::unique_ptr<ZlibInflater> zlib_;
  BlockInflater* decoder_ = &own_;  // of the job
  RunningCrc32 crc_;                // of the target
  z_stream windowStream_ = {};
  std::vector<uint8_t> scratch_;  // a window, output, and what the decoder may write behind that
  std::vector<uint8_t> packed_;
  size_t history_ = 0;  // before the output
  const uint8_t* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace registryfs
