#pragma once

#include <cstdint>

namespace registryfs {

// Decoding tables for Huffman codes as deflate has them (RFC 1951, 3.2). An entry is
//
//   bit  31     a literal, which is in bits 16 to 23
//   bits 16-30  the base of a length or distance; where a subtable begins
//   bits 15-12  kExceptional with what it is; else 0, so that bits 8 and up are a shift count as they are
//   bits 8-11   bits of the code; of a subtable pointer, the subtable's index bits
//   bits 0-7    bits of code and extra bits together; of a subtable pointer, the first table's index bits
//
// A code that is longer than the first table's index is counted without those bits in its subtable.
using CodeEntry = uint32_t;

constexpr CodeEntry kLiteral = 1u << 31;
constexpr CodeEntry kExceptional = 1u << 15;
constexpr CodeEntry kSubtable = 1u << 14;
constexpr CodeEntry kEndOfBlock = 1u << 13;

constexpr unsigned kMaximumCodeBits = 15;
constexpr unsigned kLiteralIndexBits = 11;
constexpr unsigned kDistanceIndexBits = 8;
constexpr unsigned kPrecodeIndexBits = 7;
constexpr unsigned kLiteralCodes = 288;
constexpr unsigned kDistanceCodes = 32;
constexpr unsigned kPrecodeCodes = 19;
// The largest that any code needs, by zlib's examples/enough.c: `enough 288 11 15`, `enough 32 8 15`.
constexpr unsigned kLiteralEntries = 2342;
constexpr unsigned kDistanceEntries = 402;

// Each fills its table; false for sets that zlib refuses: over-subscribed ones, and incomplete ones but for a
// single code of one bit. A set without codes is accepted, as by zlib: it fails where it is used.
bool BuildLiteralTable(const uint8_t* lengths, unsigned count, CodeEntry table[kLiteralEntries]);
bool BuildDistanceTable(const uint8_t* lengths, unsigned count, CodeEntry table[kDistanceEntries]);
// The code of the code lengths: its values are in bits 16 and up. It must be complete.
bool BuildPrecodeTable(const uint8_t lengths[kPrecodeCodes], CodeEntry table[1 << kPrecodeIndexBits]);

struct FixedTables {
  FixedTables();
  CodeEntry literals[kLiteralEntries];
  CodeEntry distances[kDistanceEntries];
};

}  // namespace registryfs
