#include "deflate_loop.h"

#include <algorithm>

namespace registryfs {

namespace {

constexpr const char kBadLiteral[] = "invalid literal/length code";
constexpr const char kBadDistance[] = "invalid distance code";
constexpr const char kTooFar[] = "invalid distance too far back";

// A turn of the fast loop takes at most three times seven bytes, and loads eight.
constexpr ptrdiff_t kFastInput = 32;

#define REGISTRYFS_INLINE inline __attribute__((always_inline))

// The bits of an entry's extra field, added to its base. `bits` is what the entry was found with.
REGISTRYFS_INLINE unsigned ValueOf(CodeEntry entry, uint64_t bits) {
  const uint64_t low = bits & ((uint64_t{1} << (entry & 63)) - 1);
  return (entry >> 16) + static_cast<unsigned>(low >> ((entry >> 8) & 63));
}

// Writes up to 31 bytes more than it is asked to.
REGISTRYFS_INLINE void CopyMatch(uint8_t* out, unsigned distance, unsigned length) {
  uint8_t* const end = out + length;
  const uint8_t* from = out - distance;
  if (__builtin_expect(distance >= 16, 1)) {
    // Most matches are no longer than this, and a jump that is guessed wrong costs more than a copy.
    std::memcpy(out, from, 16);
    std::memcpy(out + 16, from + 16, 16);
    out += 32;
    from += 32;
    while (__builtin_expect(out < end, 0)) {
      std::memcpy(out, from, 16);
      out += 16;
      from += 16;
    }
    return;
  }
  if (distance == 1) {
    uint8_t run[16];
    std::memset(run, *from, 16);
    do {
      std::memcpy(out, run, 16);
      out += 16;
    } while (out < end);
    return;
  }
  // What is right of a copy doubles with each, and so does the distance, until it is large enough.
  size_t whole = distance;
  while (whole < 16 && out < end) {
    uint8_t part[16];
    std::memcpy(part, from, 16);
    std::memcpy(out, part, 16);
    out += whole;
    whole *= 2;
  }
  while (out < end) {
    std::memcpy(out, from, 16);
    out += 16;
    from += 16;
  }
}

DeflateStep FastLoop(DeflateCursor* cursor, const CodeEntry* const literals, const CodeEntry* const distances,
                     const char** problem) {
  const uint8_t* next = cursor->next;
  const uint8_t* const inputLimit = cursor->end - kFastInput;
  uint8_t* out = cursor->out;
  uint8_t* const limit = cursor->limit;
  uint64_t bits = cursor->bits;
  // Only the low byte counts: whole entries are subtracted from it.
  uint32_t left = cursor->left;
  DeflateStep step = DeflateStep::kGoOn;

  const auto refill = [&]() __attribute__((always_inline)) {
    bits |= LoadBits(next) << (left & 63);
    next += (63 - (left & 63)) >> 3;
    left |= 56;
  };
  const auto drop = [&](CodeEntry entry) __attribute__((always_inline)) {
    bits >>= entry & 63;
    left -= entry;
  };
  const auto literal = [&]() __attribute__((always_inline)) {
    return literals[bits & ((1u << kLiteralIndexBits) - 1)];
  };

  refill();
  CodeEntry entry = literal();
  do {
    uint64_t saved = bits;
    drop(entry);
    if (entry & kLiteral) {
      *out++ = static_cast<uint8_t>(entry >> 16);
      entry = literal();
      saved = bits;
      drop(entry);
      if (entry & kLiteral) {
        *out++ = static_cast<uint8_t>(entry >> 16);
        entry = literal();
        saved = bits;
        drop(entry);
        if (entry & kLiteral) {
          *out++ = static_cast<uint8_t>(entry >> 16);
          entry = literal();
          refill();
          continue;
        }
      }
    }
    if (__builtin_expect(entry & kExceptional, 0)) {
      if (entry & kSubtable) {
        entry = literals[(entry >> 16) + (bits & ((1u << ((entry >> 8) & 15)) - 1))];
        saved = bits;
        drop(entry);
        if (entry & kLiteral) {
          *out++ = static_cast<uint8_t>(entry >> 16);
          entry = literal();
          refill();
          continue;
        }
      }
      if (entry & kExceptional) {
        step = entry & kEndOfBlock ? DeflateStep::kBlockEnd : DeflateStep::kCorrupt;
        *problem = kBadLiteral;
        break;
      }
    }
    const unsigned length = ValueOf(entry, saved);
    // Up to 42 bits are gone, two literals and this: the ones that are left find the entry, but may not hold
    // it.
    entry = distances[bits & ((1u << kDistanceIndexBits) - 1)];
    refill();
    if (__builtin_expect(entry & kExceptional, 0)) {
      if (!(entry & kSubtable)) {
        step = DeflateStep::kCorrupt;
        *problem = kBadDistance;
        break;
      }
      drop(kDistanceIndexBits);
      entry = distances[(entry >> 16) + (bits & ((1u << ((entry >> 8) & 15)) - 1))];
    }
    saved = bits;
    drop(entry);
    const unsigned distance = ValueOf(entry, saved);
    if (__builtin_expect(distance > static_cast<size_t>(out - cursor->history), 0)) {
      step = DeflateStep::kCorrupt;
      *problem = kTooFar;
      break;
    }
    // The next table load is under way while the match is copied.
    entry = literal();
    refill();
    CopyMatch(out, distance, length);
    out += length;
  } while (next < inputLimit && out < limit);

  left &= 63;
  cursor->next = next;
  cursor->out = out;
  cursor->bits = bits;
  cursor->left = left;
  return step;
}

// One symbol at a time, of which all bits must be there.
DeflateStep CarefulLoop(DeflateCursor* cursor, const CodeEntry* literals, const CodeEntry* distances,
                        const char** problem) {
  while (cursor->out < cursor->limit) {
    if (cursor->end - cursor->next > kFastInput) return DeflateStep::kGoOn;
    cursor->Fill();
    uint64_t bits = cursor->bits;
    unsigned used = 0;
    const auto find = [&](const CodeEntry* table, unsigned indexBits) {
      CodeEntry entry = table[bits & ((1u << indexBits) - 1)];
      if ((entry & (kLiteral | kSubtable | kExceptional)) == (kSubtable | kExceptional)) {
        bits >>= indexBits;
        used += indexBits;
        entry = table[(entry >> 16) + (bits & ((1u << ((entry >> 8) & 15)) - 1))];
      }
      used += entry & 63;
      return entry;
    };
    CodeEntry entry = find(literals, kLiteralIndexBits);
    if (used > cursor->left) return DeflateStep::kNeedInput;
    if (entry & kLiteral) {
      *cursor->out++ = static_cast<uint8_t>(entry >> 16);
      cursor->Drop(used);
      continue;
    }
    if (entry & kExceptional) {
      cursor->Drop(used);
      *problem = kBadLiteral;
      return entry & kEndOfBlock ? DeflateStep::kBlockEnd : DeflateStep::kCorrupt;
    }
    const unsigned length = ValueOf(entry, bits);
    bits >>= entry & 63;
    entry = find(distances, kDistanceIndexBits);
    if (entry & kExceptional) {
      *problem = kBadDistance;
      return used > cursor->left ? DeflateStep::kNeedInput : DeflateStep::kCorrupt;
    }
    if (used > cursor->left) return DeflateStep::kNeedInput;
    const unsigned distance = ValueOf(entry, bits);
    if (distance > static_cast<size_t>(cursor->out - cursor->history)) {
      *problem = kTooFar;
      return DeflateStep::kCorrupt;
    }
    cursor->Drop(used);
    CopyMatch(cursor->out, distance, length);
    cursor->out += length;
  }
  return DeflateStep::kLimit;
}

}  // namespace

DeflateStep DecodeSymbols(DeflateCursor* cursor, const CodeEntry* literals, const CodeEntry* distances,
                          const char** problem) {
  DeflateStep step = DeflateStep::kGoOn;
  while (step == DeflateStep::kGoOn) {
    if (cursor->out >= cursor->limit) return DeflateStep::kLimit;
    const bool fast = cursor->end - cursor->next > kFastInput;
    step = (fast ? FastLoop : CarefulLoop)(cursor, literals, distances, problem);
  }
  return step;
}

}  // namespace registryfs
