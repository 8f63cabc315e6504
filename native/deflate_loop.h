#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "deflate_codes.h"

namespace registryfs {

// What a call of the decoder works on. `bits` holds the next `left` bits of the stream, up to 63; above them
// are zeros or what comes next anyway, so that more can be put there by OR.
struct DeflateCursor {
  const uint8_t* next;
  const uint8_t* end;
  const uint8_t* history;
  uint8_t* out;
  uint8_t* limit;
  uint64_t bits;
  unsigned left;

  void Drop(unsigned count) {
    bits >>= count;
    left -= count;
  }
  unsigned Peek(unsigned count) const { return static_cast<unsigned>(bits) & ((1u << count) - 1); }
  unsigned Take(unsigned count) {
    const unsigned value = Peek(count);
    Drop(count);
    return value;
  }
  void Fill();
};

enum class DeflateStep { kGoOn, kNeedInput, kLimit, kBlockEnd, kCorrupt };

// Decodes the symbols of a block. `problem` is set when they are corrupt.
DeflateStep DecodeSymbols(DeflateCursor* cursor, const CodeEntry* literals, const CodeEntry* distances,
                          const char** problem);

inline uint64_t LoadBits(const uint8_t* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof(value));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  value = __builtin_bswap64(value);
#endif
  return value;
}

inline void DeflateCursor::Fill() {
  if (end - next >= 8) {
    bits |= LoadBits(next) << left;
    next += (63 - left) / 8;
    left |= 56;
    return;
  }
  for (; left < 56 && next < end; left += 8) bits |= static_cast<uint64_t>(*next++) << left;
}

}  // namespace registryfs
