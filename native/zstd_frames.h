#pragma once

#include "zstd_decoder.h"

namespace registryfs {

// Decodes frames one after another, wherever the input is cut; at the start of a frame at first.
class ZstdFrames {
 public:
  // Takes from the input, and fills the output as far as that goes. Null when all is well, else what is
  // wrong.
  const char* Decode(const uint8_t** input, size_t inputLength, uint8_t** output, size_t outputLength);
  size_t heldBytes() const { return decoder_.heldBytes(); }

 private:
  ZstdDecoder decoder_;
  uint8_t magic_[4];
  size_t magicHave_ = 0;
  bool inFrame_ = false;
};

// From the start of a frame: throws `skip` bytes away, then fills the target. Null when all is well, else
// what is wrong.
const char* DecodeZstdSpan(const uint8_t* input, size_t inputLength, uint64_t skip, uint8_t* target,
                           size_t targetLength);

}  // namespace registryfs
