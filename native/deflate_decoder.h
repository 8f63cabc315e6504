#pragma once

#include <cstddef>
#include <cstdint>

#include "deflate_loop.h"

namespace registryfs {

// Decodes raw deflate (RFC 1951) that arrives in pieces of any size. It stops at every end of a block, so
// that seek points cost nothing, and has no window of its own: matches are copied from the output before
// them.
//
// The limit of the output is soft, so that no match is ever left half done: decoding ends with the first
// symbol at or beyond it, at most kMaximumOverrun bytes behind it, and memory is written up to kSlackBytes
// behind it.
class DeflateDecoder {
 public:
  static constexpr size_t kMaximumOverrun = 260;
  static constexpr size_t kSlackBytes = 320;

  enum class Status {
    kNeedInput,  // all of it was taken
    kLimit,      // the output came to its limit: more may come without input
    kBlockEnd,   // a block has ended, and it was not the last one
    kStreamEnd,  // *next is behind the stream's last byte
    kCorrupt,    // `problem` says what it is, in zlib's words
  };

  // To the start of a stream; with `bits` bits of `value` that come before the input.
  void Reset(unsigned bits = 0, unsigned value = 0);

  // Advances *next and *out. The output may refer to everything from `history` on.
  Status Decode(const uint8_t** next, const uint8_t* end, const uint8_t* history, uint8_t** out,
                uint8_t* limit);

  // Fewer than 8 after kBlockEnd: the bits of the last byte taken that belong to the next block.
  unsigned unusedBits() const { return left_; }
  const char* problem() const { return problem_; }

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
