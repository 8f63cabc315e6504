#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace registryfs {

// What a pass tells JavaScript; src/native.ts says what each means.
struct Event {
  enum class Kind { kZeros, kBlock, kCut, kSpan, kCheckpoint, kChunk, kConsumed, kBlob, kEnd, kFailure };

  // Whose a failure is: the bytes', this host's, or that of a deliberate limit.
  enum class Fault { kData, kHost, kLimit };

  static constexpr uint32_t kNoSlot = UINT32_MAX;

  explicit Event(Kind kindOf) : kind(kindOf) {}

  Kind kind;
  uint32_t slot = 0;    // block: slot, kNoSlot where it is zero; chunk: index
  uint64_t length = 0;  // block, span: uncompressed bytes
  uint64_t uncompressedOffset = 0;
  uint64_t compressedBitOffset = 0;  // span, checkpoint; consumed, end and failure: bytes
  uint64_t compressedBitEnd = 0;
  uint32_t crc32 = 0;
  uint32_t windowLength = 0;
  bool atHeader = false;
  bool zero = false;           // block, span: every byte is 0
  Fault fault = Fault::kData;  // failure
  std::vector<uint8_t> bytes;  // span: window; checkpoint: state; chunk: seal; blob, end: sha256 of blob,
                               // then of tar, then sha512s
  double threadSeconds = 0;    // end: CPU time of the thread that decodes
  std::vector<uint64_t> runs;  // zeros: offset and length of one after another
  std::string message;         // failure
};

// Takes events from any thread.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void Emit(Event event) = 0;
};

}  // namespace registryfs
