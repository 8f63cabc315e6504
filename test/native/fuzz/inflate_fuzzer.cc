// Any bytes as a gzip blob, and as a span with any window and bit offset: whatever zlib reads must come out
// the same, from a stream too, and nothing may be touched that is not ours. scripts/fuzz.sh.
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../../native/reference_marker.h"
#include "../../../native/span_inflater.h"
#include "../../../native/span_stream.h"

namespace {

constexpr size_t kMostBytes = 1 << 18;

std::vector<uint8_t> Inflated(const uint8_t* data, size_t length) {
  z_stream stream = {};
  inflateInit2(&stream, 31);
  std::vector<uint8_t> output(kMostBytes);
  stream.next_in = const_cast<uint8_t*>(data);
  stream.avail_in = static_cast<uInt>(length);
  stream.next_out = output.data();
  stream.avail_out = static_cast<uInt>(output.size());
  const int result = inflate(&stream, Z_FINISH);
  output.resize(result == Z_STREAM_END ? stream.total_out : 0);
  inflateEnd(&stream);
  return output;
}

// The same in pieces, of which the first is skipped; empty when it does not come out whole.
std::vector<uint8_t> Streamed(const registryfs::SpanJob& job, registryfs::SpanInflater& inflater,
                              size_t pieceBytes) {
  registryfs::SpanStream stream;
  std::vector<uint8_t> output(job.targetLength);
  if (stream.Begin(job, inflater) != nullptr) return {};
  uint64_t skip = job.skipBytes;
  const uint8_t* next = job.input;
  const uint8_t* const end = job.input + job.inputLength;
  uint8_t* made = output.data();
  uint8_t* const madeEnd = made + output.size();
  while (skip > 0 || made < madeEnd) {
    const uint8_t* const before = next;
    const uint64_t wantedBefore = skip + static_cast<uint64_t>(madeEnd - made);
    const size_t input = std::min(pieceBytes, static_cast<size_t>(end - next));
    const size_t room = std::min(pieceBytes * 3, static_cast<size_t>(madeEnd - made));
    if (stream.Decode(&next, input, &skip, &made, room) != nullptr) return {};
    if (next == before && skip + static_cast<uint64_t>(madeEnd - made) == wantedBefore) return {};
  }
  return output;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t length) {
  if (length < 8) return 0;
  static registryfs::SpanInflater inflater;
  registryfs::SpanJob job = {};
  job.input = data;
  job.inputLength = length;
  job.atHeader = true;
  const std::vector<uint8_t> expected = Inflated(data, length);
  if (!expected.empty()) {
    std::vector<uint8_t> output(expected.size());
    job.target = output.data();
    job.targetLength = output.size();
    if (inflater.Inflate(job) != nullptr || output != expected) std::abort();
    // The same from the middle.
    job.skipBytes = output.size() / 2;
    job.targetLength = output.size() - job.skipBytes;
    if (inflater.Inflate(job) != nullptr ||
        std::memcmp(output.data(), expected.data() + job.skipBytes, job.targetLength) != 0)
      std::abort();
  }
  std::vector<uint8_t> target(1 + data[0] * 257u);
  const size_t windowBytes = std::min<size_t>(data[1], length - 8);
  job = {};
  job.bit = data[2] % 8;
  job.window = data + 8;
  job.windowDeflatedLength = windowBytes;
  job.windowLength = data[3] % 2 == 0 ? 0 : data[4] * 128u;
  job.input = data + 8 + windowBytes;
  job.inputLength = length - 8 - windowBytes;
  job.skipBytes = data[5];
  job.target = target.data();
  job.targetLength = target.size();
  job.checkCrc = data[6] % 2 == 1;
  const char* const problem = inflater.Inflate(job);
  std::vector<uint8_t> byZlib(target.size());
  job.target = byZlib.data();
  job.zlib = true;
  if ((inflater.Inflate(job) == nullptr) != (problem == nullptr)) std::abort();
  if (problem == nullptr && byZlib != target) std::abort();
  if (!job.checkCrc) {
    for (const bool zlib : {false, true}) {
      job.zlib = zlib;
      const std::vector<uint8_t> streamed = Streamed(job, inflater, 1 + data[7] * 16u);
      if (streamed.empty() != (problem != nullptr)) std::abort();
      if (problem == nullptr && streamed != target) std::abort();
    }
  }
  std::vector<uint8_t> marks(registryfs::kWindowBytes);
  registryfs::MarkReferences(job.input, job.inputLength, job.bit, registryfs::kWindowBytes, marks.data());
  return 0;
}
