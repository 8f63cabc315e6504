#include "deflate_codes.h"

#include <array>
#include <cstring>

namespace registryfs {

namespace {

constexpr uint16_t kLengthBases[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                     31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr uint8_t kLengthExtras[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                     2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr uint16_t kDistanceBases[] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                       33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                       1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr uint8_t kDistanceExtras[] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                       6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

// What a symbol's entry is but for the length of its code.
template <unsigned kCount>
using Meanings = std::array<CodeEntry, kCount>;

constexpr Meanings<kLiteralCodes> LiteralMeanings() {
  Meanings<kLiteralCodes> meanings = {};
  for (unsigned i = 0; i < 256; ++i) meanings[i] = kLiteral | i << 16;
  meanings[256] = kExceptional | kEndOfBlock;
  for (unsigned i = 0; i < 29; ++i)
    meanings[257 + i] = static_cast<CodeEntry>(kLengthBases[i]) << 16 | kLengthExtras[i];
  meanings[286] = meanings[287] = kExceptional;
  return meanings;
}

constexpr Meanings<kDistanceCodes> DistanceMeanings() {
  Meanings<kDistanceCodes> meanings = {};
  for (unsigned i = 0; i < 30; ++i)
    meanings[i] = static_cast<CodeEntry>(kDistanceBases[i]) << 16 | kDistanceExtras[i];
  meanings[30] = meanings[31] = kExceptional;
  return meanings;
}

constexpr Meanings<kPrecodeCodes> PrecodeMeanings() {
  Meanings<kPrecodeCodes> meanings = {};
  for (unsigned i = 0; i < kPrecodeCodes; ++i) meanings[i] = i << 16;
  return meanings;
}

constexpr auto kLiteralMeanings = LiteralMeanings();
constexpr auto kDistanceMeanings = DistanceMeanings();
constexpr auto kPrecodeMeanings = PrecodeMeanings();

// Codes are sent from their first bit, so they are counted upwards with their bits reversed.
unsigned NextCode(unsigned code, unsigned bits) {
  const unsigned zeros = ~code & ((1u << bits) - 1);
  if (zeros == 0) return 0;
  const unsigned top = 1u << (31 - __builtin_clz(zeros));
  return (code & (top - 1)) | top;
}

enum class Incomplete { kRefused, kOneBit };

// Entries repeat with a period of 2^(code length): while the codes get longer, what is there is doubled,
// which fills the table with a few large copies.
template <unsigned kIndexBits>
bool Build(const uint8_t* lengths, unsigned count, const CodeEntry* meanings, Incomplete incomplete,
           CodeEntry* table) {
  unsigned counts[kMaximumCodeBits + 2] = {};
  for (unsigned i = 0; i < count; ++i) counts[lengths[i]]++;
  counts[0] = 0;
  unsigned offsets[kMaximumCodeBits + 2] = {};
  int left = 1;
  unsigned longest = 0;
  for (unsigned bits = 1; bits <= kMaximumCodeBits; ++bits) {
    left = left * 2 - static_cast<int>(counts[bits]);
    if (left < 0) return false;
    if (counts[bits] != 0) longest = bits;
    offsets[bits + 1] = offsets[bits] + counts[bits];
  }
  if (left > 0) {
    if (longest > 1 || (longest == 1 && incomplete == Incomplete::kRefused)) return false;
    // zlib takes an all-zero precode for one that says 0 with each bit; the other tables refuse to decode.
    const CodeEntry unused = (incomplete == Incomplete::kRefused ? 0 : kExceptional) | 1 << 8 | 1;
    for (unsigned i = 0; i < 1u << kIndexBits; ++i) table[i] = unused;
    for (unsigned symbol = 0; symbol < count; ++symbol) {
      if (lengths[symbol] == 0) continue;
      for (unsigned i = 0; i < 1u << kIndexBits; i += 2) table[i] = meanings[symbol] + (1 << 8 | 1);
    }
    return true;
  }
  uint16_t sorted[kLiteralCodes];
  for (unsigned symbol = 0; symbol < count; ++symbol) {
    if (lengths[symbol] != 0) sorted[offsets[lengths[symbol]]++] = static_cast<uint16_t>(symbol);
  }

  const uint16_t* symbol = sorted;
  unsigned code = 0;
  unsigned filled = 1;
  for (unsigned bits = 1; bits <= kIndexBits; ++bits) {
    std::memcpy(table + filled, table, filled * sizeof(CodeEntry));
    filled *= 2;
    for (unsigned n = counts[bits]; n > 0; --n) {
      table[code] = meanings[*symbol++] + (bits << 8 | bits);
      code = NextCode(code, bits);
    }
  }
  unsigned prefix = ~0u;
  unsigned start = 0;
  unsigned end = filled;
  for (unsigned bits = kIndexBits + 1; bits <= longest; ++bits) {
    const unsigned extra = bits - kIndexBits;
    for (unsigned n = counts[bits]; n > 0; --n) {
      if ((code & (filled - 1)) != prefix) {
        prefix = code & (filled - 1);
        start = end;
        // As many index bits as the codes with this prefix need; the remaining ones of this length come
        // first.
        unsigned indexBits = extra;
        for (unsigned used = n; used < 1u << indexBits;) used = used * 2 + counts[kIndexBits + ++indexBits];
        end = start + (1u << indexBits);
        table[prefix] = start << 16 | kExceptional | kSubtable | indexBits << 8 | kIndexBits;
      }
      const CodeEntry entry = meanings[*symbol++] + (extra << 8 | extra);
      for (unsigned i = start + (code >> kIndexBits); i < end; i += 1u << extra) table[i] = entry;
      code = NextCode(code, bits);
    }
  }
  return true;
}

}  // namespace

bool BuildLiteralTable(const uint8_t* lengths, unsigned count, CodeEntry table[kLiteralEntries]) {
  return Build<kLiteralIndexBits>(lengths, count, kLiteralMeanings.data(), Incomplete::kOneBit, table);
}

bool BuildDistanceTable(const uint8_t* lengths, unsigned count, CodeEntry table[kDistanceEntries]) {
  return Build<kDistanceIndexBits>(lengths, count, kDistanceMeanings.data(), Incomplete::kOneBit, table);
}

bool BuildPrecodeTable(const uint8_t lengths[kPrecodeCodes], CodeEntry table[1 << kPrecodeIndexBits]) {
  return Build<kPrecodeIndexBits>(lengths, kPrecodeCodes, kPrecodeMeanings.data(), Incomplete::kRefused,
                                  table);
}

FixedTables::FixedTables() {
  uint8_t lengths[kLiteralCodes];
  for (unsigned i = 0; i < kLiteralCodes; ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  BuildLiteralTable(lengths, kLiteralCodes, literals);
  std::memset(lengths, 5, kDistanceCodes);
  BuildDistanceTable(lengths, kDistanceCodes, distances);
}

}  // namespace registryfs
