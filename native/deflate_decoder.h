#pragma once

#include <cstddef>
#include <cstdint>

#include "block_inflater.h"
#include "deflate_loop.h"

namespace registryfs {

// Ours. It has no window of its own: matches are copied from the output before them.
class DeflateDecoder final : public BlockInflater {
 public:
  void Reset(unsigned bits = 0, unsigned value = 0) override;
  Status Decode(const uint8_t** next, const uint8_t* end, const uint8_t* history, uint8_t** out,
                uint8_t* limit) override;
  unsigned unusedBits() const override { return left_; }
  const char* problem() const override { return problem_; }

 private:
  enum class State {
    kBlockHeader,
    kStoredLength,
    kStored,
    kCounts,
    kPrecode,
    kLengths,
    kSymbols,
    kStreamEnd,
    kCorrupt,
  };
  DeflateStep Step(DeflateCursor* cursor);
  DeflateStep ReadBlockHeader(DeflateCursor* cursor);
  DeflateStep ReadStoredLength(DeflateCursor* cursor);
  DeflateStep CopyStored(DeflateCursor* cursor);
  DeflateStep ReadCounts(DeflateCursor* cursor);
  DeflateStep ReadPrecode(DeflateCursor* cursor);
  DeflateStep ReadLengths(DeflateCursor* cursor);
  DeflateStep BuildTables();
  DeflateStep Corrupt(const char* problem);

  // The next `left_` bits of the stream; 0 above them. Between calls either fewer than 8, or the beginning of
  // something whose end has not come yet.
  uint64_t bits_ = 0;
  unsigned left_ = 0;
  State state_ = State::kBlockHeader;
  bool final_ = false;
  const char* problem_ = nullptr;
  uint32_t storedLeft_ = 0;
  unsigned literalCount_ = 0;
  unsigned distanceCount_ = 0;
  unsigned precodeCount_ = 0;
  unsigned lengthsRead_ = 0;
  const CodeEntry* literals_ = nullptr;
  const CodeEntry* distances_ = nullptr;
  uint8_t lengths_[kLiteralCodes + kDistanceCodes] = {};
  CodeEntry precodeTable_[1 << kPrecodeIndexBits] = {};
  CodeEntry literalTable_[kLiteralEntries] = {};
  CodeEntry distanceTable_[kDistanceEntries] = {};
};

}  // namespace registryfs
