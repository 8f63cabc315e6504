#pragma once

#include <cstddef>
#include <cstdint>

namespace registryfs {

// Decodes raw deflate (RFC 1951) that arrives in pieces of any size, and stops at every end of a block, where
// a seek point may lie. There are two: our own (deflate_decoder.h), and zlib (zlib_inflater.h), to hold it
// against.
//
// The limit of the output may be soft, so that no match is ever left half done: decoding ends with the first
// symbol at or beyond it, at most kMaximumOverrun bytes behind it, and memory is written up to kSlackBytes
// behind it.
class BlockInflater {
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

  virtual ~BlockInflater() = default;

  // To the start of a stream; with `bits` bits of `value` that come before the input.
  virtual void Reset(unsigned bits = 0, unsigned value = 0) = 0;

  // Advances *next and *out. The output may refer to everything from `history` on.
  virtual Status Decode(const uint8_t** next, const uint8_t* end, const uint8_t* history, uint8_t** out,
                        uint8_t* limit) = 0;

  // Fewer than 8 after kBlockEnd: the bits of the last byte taken that belong to the next block.
  virtual unsigned unusedBits() const = 0;
  virtual const char* problem() const = 0;
};

}  // namespace registryfs
