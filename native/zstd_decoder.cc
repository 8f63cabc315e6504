#include "zstd_decoder.h"

#include <zstd_errors.h>

namespace registryfs {

namespace {
constexpr uint32_t kFrame = 0xfd2fb528;
constexpr uint32_t kSkippable = 0x184d2a50;  // to ...5f
}  // namespace

const char* ZstdDecoder::Begin(const uint8_t* magic) {
  const uint32_t value = static_cast<uint32_t>(magic[0]) | static_cast<uint32_t>(magic[1]) << 8 |
                         static_cast<uint32_t>(magic[2]) << 16 | static_cast<uint32_t>(magic[3]) << 24;
  if (value != kFrame && (value & 0xfffffff0) != kSkippable) return "something follows that is no frame";
  if (context_ == nullptr) {
    context_ = ZSTD_createDCtx();
    if (context_ == nullptr) {
      outOfMemory_ = true;
      return "out of memory";
    }
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kMaximumWindowLog);
  }
  ZSTD_DCtx_reset(context_, ZSTD_reset_session_only);
  uint8_t none;
  const uint8_t* next = magic;
  return Decode(&next, 4, &none, 0).problem;
}

ZstdDecoder::Step ZstdDecoder::Decode(const uint8_t** input, size_t inputLength, uint8_t* output,
                                      size_t outputLength) {
  ZSTD_inBuffer in = {*input, inputLength, 0};
  ZSTD_outBuffer out = {output, outputLength, 0};
  const size_t code = ZSTD_decompressStream(context_, &out, &in);
  *input += in.pos;
  Step step;
  step.made = out.pos;
  if (ZSTD_isError(code)) {
    step.problem = Problem(code);
  } else {
    step.frameEnded = code == 0;
  }
  return step;
}

const char* ZstdDecoder::Problem(size_t code) {
  switch (ZSTD_getErrorCode(code)) {
    case ZSTD_error_memory_allocation:
      outOfMemory_ = true;
      return "out of memory";
    case ZSTD_error_frameParameter_windowTooLarge:
      tooMuch_ = true;
      return "a window of more than 128 MiB is needed (zstd --long)";
    case ZSTD_error_dictionary_wrong:
      return "a dictionary is needed";
    case ZSTD_error_checksum_wrong:
      return "the checksum of a frame is wrong";
    default:
      return ZSTD_getErrorName(code);
  }
}

}  // namespace registryfs
