// Any bytes as zstd frames, in pieces of any size: the same output as from one call, and no more than was
// asked for. scripts/fuzz.sh.
#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../../native/zstd_frames.h"

namespace {
constexpr size_t kMostBytes = 1 << 18;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t length) {
  if (length < 3) return 0;
  const size_t inputStep = 1 + data[0];
  const size_t outputStep = 1 + data[1] * 17u;
  const uint8_t* input = data + 2;
  const uint8_t* const inputEnd = data + length;
  registryfs::ZstdFrames frames;
  std::vector<uint8_t> output(kMostBytes);
  uint8_t* made = output.data();
  uint8_t* const outputEnd = made + output.size();
  const char* problem = nullptr;
  for (int idle = 0; problem == nullptr && made < outputEnd && idle < 2;) {
    const uint8_t* const taken = input;
    const uint8_t* const before = made;
    problem = frames.Decode(&input, std::min<size_t>(inputStep, static_cast<size_t>(inputEnd - input)), &made,
                            std::min<size_t>(outputStep, static_cast<size_t>(outputEnd - made)));
    idle = input == taken && made == before ? idle + 1 : 0;
  }
  std::vector<uint8_t> again(static_cast<size_t>(made - output.data()));
  if (again.empty() || problem != nullptr) return 0;
  // A span ends where that was made: of more input the decoder may look at a block that follows, and refuse
  // it.
  const size_t taken = static_cast<size_t>(input - (data + 2));
  if (registryfs::DecodeZstdSpan(data + 2, taken, 0, again.data(), again.size()) != nullptr) std::abort();
  if (std::memcmp(again.data(), output.data(), again.size()) != 0) std::abort();
  const size_t skip = again.size() / 3;
  if (registryfs::DecodeZstdSpan(data + 2, taken, skip, again.data(), again.size() - skip) != nullptr)
    std::abort();
  if (std::memcmp(again.data(), output.data() + skip, again.size() - skip) != 0) std::abort();
  return 0;
}
