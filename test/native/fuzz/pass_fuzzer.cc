// Any bytes through a whole pass of any codec: blocks follow each other, and so do spans; a span that is said
// to stand by itself decodes by itself, to the bytes that its CRC-32 says, with zlib too. scripts/fuzz.sh.
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../../../native/copy_pass.h"
#include "../../../native/span_inflater.h"
#include "../../../native/zstd_frames.h"
#include "../../../native/zstd_pass.h"
#include "../pass_consumer.h"

namespace {

using registryfs::Event;
using Bytes = std::vector<uint8_t>;

constexpr size_t kSlotBytes = 4096;
constexpr uint64_t kMostOutput = 4 << 20;

void Require(bool good) {
  if (!good) std::abort();
}

std::unique_ptr<registryfs::InflatePass> MakePass(int codec, registryfs::PassParameters parameters,
                                                  registryfs::EventSink* sink) {
  if (codec == 0) return std::make_unique<registryfs::InflatePass>(std::move(parameters), sink);
  if (codec == 1) return std::make_unique<registryfs::ZstdPass>(std::move(parameters), sink);
  return std::make_unique<registryfs::CopyPass>(std::move(parameters), sink);
}

void CheckSpan(int codec, const Bytes& blob, const Event& span) {
  const uint64_t start = span.compressedBitOffset / 8;
  const uint64_t end = (span.compressedBitEnd + 7) / 8;
  Require(start <= end && end <= blob.size());
  if (codec == 2 || (codec == 1 && !span.atHeader)) return;
  Bytes output(span.length);
  if (codec == 1) {
    Require(registryfs::DecodeZstdSpan(blob.data() + start, end - start, 0, output.data(), output.size()) ==
            nullptr);
    Require(crc32(0, output.data(), static_cast<uInt>(output.size())) == span.crc32);
    return;
  }
  static registryfs::SpanInflater inflater;
  registryfs::SpanJob job = {};
  job.input = blob.data() + start;
  job.inputLength = end - start;
  job.bit = span.compressedBitOffset % 8;
  job.atHeader = span.atHeader;
  job.window = span.bytes.data();
  job.windowDeflatedLength = span.bytes.size();
  job.windowLength = span.windowLength;
  job.target = output.data();
  job.targetLength = output.size();
  job.checkCrc = true;
  job.crc = span.crc32;
  Require(inflater.Inflate(job) == nullptr);
  job.zlib = true;
  Require(inflater.Inflate(job) == nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t length) {
  if (length < 3) return 0;
  const int codec = data[0] % 3;
  const size_t pieceBytes = 1 + data[1] * 16u;
  const Bytes blob(data + 2, data + length);
  std::vector<Bytes> slots(3, Bytes(registryfs::kSlotHeadBytes + kSlotBytes + registryfs::kSlotTailBytes));
  registryfs::PassParameters parameters = {6000, 100, 20000, 30000, 6400, {}, kSlotBytes, data[1] % 2 == 1};
  parameters.zlib = data[0] / 3 % 2 == 1;
  for (Bytes& slot : slots) parameters.slots.push_back(slot.data() + registryfs::kSlotHeadBytes);
  registryfs::PassConsumer consumer;
  const auto pass = MakePass(codec, std::move(parameters), &consumer);
  pass->Start();
  for (size_t offset = 0; offset < blob.size(); offset += pieceBytes)
    pass->Push(blob.data() + offset, std::min(pieceBytes, blob.size() - offset));
  pass->Finish();
  uint64_t blocks = 0;
  uint64_t spans = 0;
  for (bool ended = false; !ended && blocks < kMostOutput;) {
    Event event = consumer.Next();
    switch (event.kind) {
      case Event::Kind::kBlock:
        Require(event.uncompressedOffset == blocks && event.length > 0);
        blocks += event.length;
        if (!event.zero) pass->ReleaseSlot(event.slot);
        break;
      case Event::Kind::kSpan:
        Require(event.uncompressedOffset == spans && event.length > 0);
        spans += event.length;
        CheckSpan(codec, blob, event);
        break;
      case Event::Kind::kEnd:
        Require(event.uncompressedOffset == blocks && spans == blocks);
        ended = true;
        break;
      case Event::Kind::kFailure:
        Require(event.fault != Event::Fault::kHost);
        ended = true;
        break;
      default:
        break;
    }
  }
  pass->Close();
  return 0;
}
