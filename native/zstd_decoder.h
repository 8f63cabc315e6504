#pragma once

#include <zstd.h>

#include <cstddef>
#include <cstdint>

namespace registryfs {

// libzstd's streaming decoder, frame by frame, with a limit on windows.
class ZstdDecoder {
 public:
  // 128 MiB, as `zstd -d` has it unless told otherwise.
  static constexpr int kMaximumWindowLog = 27;

  ZstdDecoder() = default;
  ~ZstdDecoder() { ZSTD_freeDCtx(context_); }
  ZstdDecoder(const ZstdDecoder&) = delete;
  ZstdDecoder& operator=(const ZstdDecoder&) = delete;

  struct Step {
    size_t made = 0;
    bool frameEnded = false;
    const char* problem = nullptr;
  };

  // At the magic number of a frame, be it one to skip. Null when all is well, else what is wrong.
  const char* Begin(const uint8_t* magic);

  // What follows; ends at the end of the frame. Output may be left when all input was taken.
  Step Decode(const uint8_t** input, size_t inputLength, uint8_t* output, size_t outputLength);

  bool isOutOfMemory() const { return outOfMemory_; }
  // A frame wants more of us than we give.
  bool isTooMuch() const { return tooMuch_; }
  // The window, mostly.
  size_t heldBytes() const { return ZSTD_sizeof_DCtx(context_); }

 private:
  const char* Problem(size_t code);

  ZSTD_DCtx* context_ = nullptr;
  bool outOfMemory_ = false;
  bool tooMuch_ = false;
};

}  // namespace registryfs
