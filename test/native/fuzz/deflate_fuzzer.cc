// Any bytes as raw deflate, whole and cut off after any of their bytes: the decoder says and gives what zlib
// does, whatever pieces they come in. scripts/fuzz.sh.
#include "../deflate_oracle.h"

namespace {

constexpr size_t kHeadBytes = 3;
constexpr size_t kMostBytes = 1 << 11;
// Those up to so long are cut off everywhere, others at some places.
constexpr size_t kShortBytes = 64;
constexpr size_t kSomePlaces = 2;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t length) {
  if (length < kHeadBytes || length > kMostBytes) return 0;
  // For pieces and limits: of a few bits only, for else each stream would be new with each seed.
  registryfs::Random random(data[0]);
  const registryfs::Bytes stream(data + kHeadBytes, data + length);
  registryfs::CheckAgainstZlib(stream, &random);
  const size_t step = stream.size() <= kShortBytes ? 1 : 1 + stream.size() / kSomePlaces;
  for (size_t cut = (data[1] | data[2] << 8) % step; cut < stream.size(); cut += step)
    registryfs::CheckAgainstZlib(
        registryfs::Bytes(stream.begin(), stream.begin() + static_cast<ptrdiff_t>(cut)), &random);
  return 0;
}
