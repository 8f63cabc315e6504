#include "reference_marker.h"

#include <cstring>

namespace registryfs {

namespace {

constexpr unsigned kMaximumBits = 15;

// Tens of thousands of empty blocks, whose tables take longer than what they are for, are in no sane
// encoder's output. Giving up is always right: a window is kept whole then.
constexpr unsigned kMaximumBlocks = 256;

// Most symbols have codes of up to this many bits, and are found by them at once; a table for all 15 would
// take longer to fill than a window's 32 KiB take to read.
constexpr unsigned kFastBits = 10;

struct CodeTable {
  uint16_t fast[1 << kFastBits];  // by the next bits: symbol << 4 | code length; 0: a longer code, or none
  uint16_t counts[kMaximumBits + 1];  // codes of each length
  uint16_t symbols[288];              // in the order of their codes

  // False when the code is over-subscribed. Where it is incomplete, nothing is found.
  bool Build(const uint8_t* lengths, unsigned count) {
    std::memset(counts, 0, sizeof(counts));
    for (unsigned i = 0; i < count; ++i) counts[lengths[i]]++;
    counts[0] = 0;
    unsigned offsets[kMaximumBits + 2] = {};
    int left = 1;
    for (unsigned bits = 1; bits <= kMaximumBits; ++bits) {
      left = left * 2 - counts[bits];
      if (left < 0) return false;
      offsets[bits + 1] = offsets[bits] + counts[bits];
    }
    for (unsigned symbol = 0; symbol < count; ++symbol) {
      if (lengths[symbol] != 0) symbols[offsets[lengths[symbol]]++] = static_cast<uint16_t>(symbol);
    }
    std::memset(fast, 0, sizeof(fast));
    unsigned code = 0;
    unsigned index = 0;
    for (unsigned bits = 1; bits <= kFastBits; ++bits) {
      code <<= 1;
      for (unsigned n = 0; n < counts[bits]; ++n, ++code, ++index) {
        const uint16_t entry = static_cast<uint16_t>(symbols[index] << 4 | bits);
        for (unsigned i = Reversed(code, bits); i < (1u << kFastBits); i += 1u << bits) fast[i] = entry;
      }
    }
    return true;
  }

 private:
  // A code's first bit is the lowest one of the stream.
  static unsigned Reversed(unsigned code, unsigned bits) {
    unsigned reversed = 0;
    for (; bits > 0; --bits, code >>= 1) reversed = reversed << 1 | (code & 1);
    return reversed;
  }
};

class BitReader {
 public:
  BitReader(const uint8_t* input, size_t length, unsigned bit)
      : input_(input), length_(length), position_(bit) {}

  // The next up to 32 bits; zeros beyond the end, which `overrun` tells.
  uint32_t Peek(unsigned count) const {
    const size_t byte = position_ >> 3;
    uint64_t value = 0;
    if (byte + 8 <= length_) {
      const uint8_t* p = input_ + byte;
      // Written out, it is one load.
      value = static_cast<uint64_t>(p[0]) | static_cast<uint64_t>(p[1]) << 8 |
              static_cast<uint64_t>(p[2]) << 16 | static_cast<uint64_t>(p[3]) << 24 |
              static_cast<uint64_t>(p[4]) << 32 | static_cast<uint64_t>(p[5]) << 40 |
              static_cast<uint64_t>(p[6]) << 48 | static_cast<uint64_t>(p[7]) << 56;
    } else {
      for (size_t i = 0; byte + i < length_; ++i) value |= static_cast<uint64_t>(input_[byte + i]) << (8 * i);
    }
    return static_cast<uint32_t>(value >> (position_ & 7)) & ((uint64_t{1} << count) - 1);
  }
  uint32_t Take(unsigned count) {
    const uint32_t value = Peek(count);
    position_ += count;
    return value;
  }
  int Decode(const CodeTable& table) {
    const uint32_t bits = Peek(kMaximumBits);
    const uint16_t entry = table.fast[bits & ((1u << kFastBits) - 1)];
    if (entry != 0) {
      position_ += entry & 15;
      return entry >> 4;
    }
    // Codes of a length are consecutive numbers, and begin where the shorter ones end (RFC 1951, 3.2.2).
    unsigned code = 0;
    unsigned first = 0;
    unsigned index = 0;
    for (unsigned length = 1; length <= kMaximumBits; ++length) {
      code |= bits >> (length - 1) & 1;
      const unsigned count = table.counts[length];
      if (code < first + count) {
        position_ += length;
        return table.symbols[index + code - first];
      }
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return -1;
  }
  void Align() { position_ = (position_ + 7) & ~size_t{7}; }
  void Skip(size_t bytes) { position_ += bytes * 8; }
  bool overrun() const { return position_ > length_ * 8; }

 private:
  const uint8_t* input_;
  size_t length_;
  size_t position_;  // in bits
};

constexpr uint16_t kLengthBases[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                     31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr uint8_t kLengthExtras[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                     2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr uint16_t kDistanceBases[] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                       33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                       1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr uint8_t kDistanceExtras[] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                       6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
constexpr uint8_t kCodeLengthOrder[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

struct Tables {
  CodeTable literals;
  CodeTable distances;
};

Tables BuildFixed() {
  uint8_t lengths[288];
  for (unsigned i = 0; i < 288; ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  uint8_t distances[30];
  std::memset(distances, 5, sizeof(distances));
  Tables tables;
  tables.literals.Build(lengths, 288);
  tables.distances.Build(distances, 30);
  return tables;
}

const Tables& Fixed() {
  static const Tables tables = BuildFixed();
  return tables;
}

bool ReadDynamic(BitReader* reader, Tables* tables) {
  const unsigned literalCount = reader->Take(5) + 257;
  const unsigned distanceCount = reader->Take(5) + 1;
  const unsigned codeCount = reader->Take(4) + 4;
  if (literalCount > 286 || distanceCount > 30) return false;
  uint8_t codeLengths[19] = {};
  for (unsigned i = 0; i < codeCount; ++i)
    codeLengths[kCodeLengthOrder[i]] = static_cast<uint8_t>(reader->Take(3));
  if (!tables->distances.Build(codeLengths, 19)) return false;
  uint8_t lengths[286 + 30] = {};
  for (unsigned i = 0; i < literalCount + distanceCount;) {
    const int symbol = reader->Decode(tables->distances);
    if (symbol < 0 || reader->overrun()) return false;
    if (symbol < 16) {
      lengths[i++] = static_cast<uint8_t>(symbol);
      continue;
    }
    if (symbol == 16 && i == 0) return false;
    const uint8_t value = symbol == 16 ? lengths[i - 1] : 0;
    unsigned repeat = symbol == 16   ? 3 + reader->Take(2)
                      : symbol == 17 ? 3 + reader->Take(3)
                                     : 11 + reader->Take(7);
    if (i + repeat > literalCount + distanceCount) return false;
    while (repeat-- > 0) lengths[i++] = value;
  }
  return tables->literals.Build(lengths, literalCount) &&
         tables->distances.Build(lengths + literalCount, distanceCount);
}

// The matches of one compressed block. `position` counts the output after the point.
bool MarkBlock(BitReader* reader, const Tables& tables, size_t outputBytes, size_t* position,
               uint8_t* marks) {
  while (*position < outputBytes) {
    const int symbol = reader->Decode(tables.literals);
    if (symbol < 0 || reader->overrun()) return false;
    if (symbol < 256) {
      ++*position;
      continue;
    }
    if (symbol == 256) return true;
    if (symbol > 285) return false;
    const size_t length = kLengthBases[symbol - 257] + reader->Take(kLengthExtras[symbol - 257]);
    const int code = reader->Decode(tables.distances);
    if (code < 0 || code > 29 || reader->overrun()) return false;
    const size_t distance = kDistanceBases[code] + reader->Take(kDistanceExtras[code]);
    for (size_t i = *position; i < *position + length && i < distance; ++i) {
      const size_t back = distance - i;
      if (back > kWindowBytes) return false;
      marks[kWindowBytes - back] = 1;
    }
    *position += length;
  }
  return true;
}

}  // namespace

bool MarkReferences(const uint8_t* input, size_t length, unsigned bit, size_t outputBytes,
                    uint8_t marks[kWindowBytes]) {
  Tables tables;
  BitReader reader(input, length, bit);
  size_t position = 0;
  for (unsigned blocks = 0; position < outputBytes; ++blocks) {
    if (blocks == kMaximumBlocks) return false;
    const bool last = reader.Take(1) == 1;
    const unsigned type = reader.Take(2);
    if (type == 0) {
      reader.Align();
      const size_t stored = reader.Take(16);
      if ((reader.Take(16) ^ 0xffff) != stored) return false;
      reader.Skip(stored);
      position += stored;
      // Bytes that are stored refer to nothing, whether we have them all or not.
      if (position >= outputBytes) return true;
    } else {
      if (type == 3 || (type == 2 && !ReadDynamic(&reader, &tables))) return false;
      if (!MarkBlock(&reader, type == 1 ? Fixed() : tables, outputBytes, &position, marks)) return false;
    }
    if (reader.overrun()) return false;
    if (last) return true;
  }
  return true;
}

}  // namespace registryfs
