#include "zstd_frames.h"

#include <algorithm>
#include <vector>

namespace registryfs {

const char* ZstdFrames::Decode(const uint8_t** input, size_t inputLength, uint8_t** output,
                               size_t outputLength) {
  const uint8_t* const inputEnd = *input + inputLength;
  uint8_t* const outputEnd = *output + outputLength;
  for (;;) {
    if (!inFrame_) {
      while (magicHave_ < sizeof(magic_) && *input < inputEnd) magic_[magicHave_++] = *(*input)++;
      if (magicHave_ < sizeof(magic_)) return nullptr;
      magicHave_ = 0;
      if (const char* problem = decoder_.Begin(magic_)) return problem;
      inFrame_ = true;
    }
    if (*output == outputEnd) return nullptr;
    const size_t left = static_cast<size_t>(inputEnd - *input);
    const ZstdDecoder::Step step =
        decoder_.Decode(input, left, *output, static_cast<size_t>(outputEnd - *output));
    *output += step.made;
    if (step.problem != nullptr) return step.problem;
    inFrame_ = !step.frameEnded;
    if (inFrame_ && *input == inputEnd && *output < outputEnd) return nullptr;
  }
}

const char* DecodeZstdSpan(const uint8_t* input, size_t inputLength, uint64_t skip, uint8_t* target,
                           size_t targetLength) {
  ZstdFrames frames;
  const uint8_t* const inputEnd = input + inputLength;
  std::vector<uint8_t> scratch(static_cast<size_t>(std::min<uint64_t>(skip, 128 << 10)));
  while (skip > 0) {
    uint8_t* made = scratch.data();
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(skip, scratch.size()));
    const char* problem = frames.Decode(&input, static_cast<size_t>(inputEnd - input), &made, wanted);
    if (problem != nullptr) return problem;
    if (made == scratch.data()) return "a span is cut off";
    skip -= static_cast<uint64_t>(made - scratch.data());
  }
  uint8_t* made = target;
  const char* problem = frames.Decode(&input, static_cast<size_t>(inputEnd - input), &made, targetLength);
  if (problem != nullptr) return problem;
  return made == target + targetLength ? nullptr : "a span is cut off";
}

}  // namespace registryfs
