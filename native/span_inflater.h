#pragma once

#include <zlib.h>

#include <cstdint>
#include <vector>

namespace registryfs {

struct SpanJob {
  const uint8_t* input;
  size_t inputLength;
  unsigned bit;  // of input[0]
  bool atHeader;
  const uint8_t* window;  // raw deflate
  size_t windowDeflatedLength;
  uint32_t windowLength;
  uint64_t skipBytes;
  uint8_t* target;
  size_t targetLength;
  bool checkCrc;
  uint32_t crc;
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

 private:
  const char* Prepare(const SpanJob& job);
  const char* Fill(uint8_t* target, size_t length);
  const char* NextMember();

  z_stream stream_ = {};
  z_stream windowStream_ = {};
  std::vector<uint8_t> scratch_;
  const uint8_t* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace registryfs
