// Streams for the decoder's tests, from a seed.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace registryfs {

using Bytes = std::vector<uint8_t>;

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // 0 to count - 1; a small one as likely as a large one where `skewed`.
  size_t Below(size_t count, bool skewed = false) {
    if (skewed) count = std::max<size_t>(1, count >> (engine_() % 20));
    return count == 0 ? 0 : engine_() % count;
  }
  bool OneIn(size_t count) { return Below(count) == 0; }

 private:
  std::mt19937_64 engine_;
};

inline Bytes SomeContent(Random* random) {
  const size_t length = random->Below(random->OneIn(50) ? 1 << 20 : 1 << 17, true);
  Bytes data;
  data.reserve(length + 70000);
  while (data.size() < length) {
    const size_t part = 1 + random->Below(length, true);
    const size_t kind = random->Below(5);
    const size_t distance = 1 + random->Below(data.size(), true);
    const uint8_t mask = static_cast<uint8_t>((2u << random->Below(8)) - 1);
    for (size_t i = 0; i < part; ++i) {
      const uint8_t byte = static_cast<uint8_t>(random->Below(256));
      if (kind == 0) data.push_back(byte);
      if (kind == 1) data.push_back(byte & mask);
      if (kind == 2) data.push_back(0);
      if (kind == 3 && data.size() >= distance) data.push_back(data[data.size() - distance]);
      if (kind == 4)
        data.push_back(random->OneIn(50) || data.size() < distance ? byte : data[data.size() - distance]);
    }
    if (kind == 3 && data.empty()) data.push_back(1);
  }
  data.resize(length);
  return data;
}

inline Bytes Deflate(const Bytes& data, Random* random) {
  z_stream stream = {};
  const int level = static_cast<int>(random->Below(10));
  const int windowBits = 9 + static_cast<int>(random->Below(7));
  deflateInit2(&stream, level, Z_DEFLATED, -windowBits, 1 + static_cast<int>(random->Below(9)),
               static_cast<int>(random->Below(5)));
  Bytes output(deflateBound(&stream, data.size()) + 100000);
  stream.next_out = output.data();
  stream.avail_out = static_cast<uInt>(output.size());
  const bool flushes = random->OneIn(3);
  size_t offset = 0;
  while (offset < data.size() && flushes && stream.avail_out > 20000 + data.size() - offset) {
    const size_t part = std::min(data.size() - offset, random->Below(100000, true));
    stream.next_in = const_cast<uint8_t*>(data.data()) + offset;
    stream.avail_in = static_cast<uInt>(part);
    const int kinds[] = {Z_PARTIAL_FLUSH, Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_BLOCK, Z_NO_FLUSH};
    deflate(&stream, kinds[random->Below(5)]);
    offset += part - stream.avail_in;
    if (random->OneIn(20))
      deflateParams(&stream, static_cast<int>(random->Below(10)), static_cast<int>(random->Below(5)));
  }
  stream.next_in = const_cast<uint8_t*>(data.data()) + offset;
  stream.avail_in = static_cast<uInt>(data.size() - offset);
  deflate(&stream, Z_FINISH);
  output.resize(output.size() - stream.avail_out);
  deflateEnd(&stream);
  return output;
}

// Blocks written bit by bit: any code lengths, sane ones more often, then symbols or noise.
class StreamWriter {
 public:
  explicit StreamWriter(Random* random) : random_(random) {}

  Bytes Write() {
    for (size_t blocks = 1 + random_->Below(6, true); blocks > 0; --blocks) {
      Put(blocks == 1, 1);
      switch (random_->Below(8)) {
        case 0:
          Stored();
          break;
        case 1:
          Put(1, 2);
          Symbols(FixedLengths(), std::vector<unsigned>(30, 5));
          break;
        case 2:
          if (random_->OneIn(10)) Put(3, 2);
          [[fallthrough]];
        default:
          Dynamic();
      }
    }
    if (count_ % 8 != 0) Put(0, 8 - count_ % 8);
    for (size_t noise = random_->Below(60, true); noise > 0; --noise)
      Put(static_cast<unsigned>(random_->Below(256)), 8);
    return bytes_;
  }

 private:
  void Put(unsigned value, unsigned bits) {
    for (; bits > 0; --bits, value >>= 1, ++count_) {
      if (count_ % 8 == 0) bytes_.push_back(0);
      bytes_.back() = static_cast<uint8_t>(bytes_.back() | (value & 1) << (count_ % 8));
    }
  }
  static std::vector<unsigned> FixedLengths() {
    std::vector<unsigned> lengths(288, 8);
    std::fill(lengths.begin() + 144, lengths.begin() + 256, 9);
    std::fill(lengths.begin() + 256, lengths.begin() + 280, 7);
    return lengths;
  }
  void Stored() {
    Put(0, 2);
    if (count_ % 8 != 0) Put(static_cast<unsigned>(random_->Below(128)), 8 - count_ % 8);
    const unsigned length = static_cast<unsigned>(random_->Below(65536, true));
    Put(length, 16);
    Put(random_->OneIn(50) ? length : length ^ 0xffff, 16);
    for (unsigned i = 0; i < length; ++i) Put(static_cast<unsigned>(random_->Below(256)), 8);
  }
  // Leaves of a random binary tree, of at most so many bits: a complete code. Sometimes it is spoilt.
  std::vector<unsigned> SomeLengths(size_t symbols, unsigned longest, size_t leaves) {
    std::vector<unsigned> tree = {0};
    leaves = std::min({leaves, symbols, size_t{1} << longest});
    for (size_t tries = 0; tree.size() < leaves && tries < 10000; ++tries) {
      const size_t at = random_->OneIn(3) ? tree.size() - 1 : random_->Below(tree.size());
      if (tree[at] == longest) continue;
      ++tree[at];
      tree.push_back(tree[at]);
    }
    if (tree.size() == 1) tree[0] = static_cast<unsigned>(random_->Below(2));
    std::vector<unsigned> lengths(symbols, 0);
    for (const unsigned bits : tree) {
      size_t symbol = random_->Below(symbols);
      while (lengths[symbol] != 0) symbol = (symbol + 1) % symbols;
      lengths[symbol] = bits;
    }
    if (random_->OneIn(12))
      lengths[random_->Below(symbols)] = static_cast<unsigned>(random_->Below(longest + 1));
    return lengths;
  }
  static std::vector<unsigned> CodesOf(const std::vector<unsigned>& lengths) {
    std::vector<unsigned> codes(lengths.size(), 0);
    unsigned code = 0;
    for (unsigned bits = 1; bits <= 15; ++bits, code <<= 1) {
      for (size_t i = 0; i < lengths.size(); ++i) {
        if (lengths[i] != bits) continue;
        for (unsigned b = 0; b < bits; ++b) codes[i] |= (code >> b & 1) << (bits - 1 - b);
        ++code;
      }
    }
    return codes;
  }
  void Dynamic() {
    static constexpr unsigned kOrder[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    const size_t literals = random_->OneIn(30) ? 287 + random_->Below(2) : 257 + random_->Below(30);
    const size_t distances = random_->OneIn(30) ? 31 + random_->Below(2) : 1 + random_->Below(30);
    auto lengths =
        SomeLengths(literals, 1 + static_cast<unsigned>(random_->Below(15)), 1 + random_->Below(287, true));
    if (lengths[256] == 0 && !random_->OneIn(20)) {
      const auto used = std::find_if(lengths.begin(), lengths.end(), [](unsigned bits) { return bits != 0; });
      if (used != lengths.end()) std::swap(lengths[256], *used);
    }
    const auto distanceLengths =
        SomeLengths(distances, 1 + static_cast<unsigned>(random_->Below(15)), 1 + random_->Below(31, true));
    auto all = lengths;
    all.insert(all.end(), distanceLengths.begin(), distanceLengths.end());
    const auto precode = SomeLengths(19, 7, random_->OneIn(4) ? 1 + random_->Below(19) : 19);
    const auto precodes = CodesOf(precode);
    Put(2, 2);
    Put(static_cast<unsigned>(literals - 257), 5);
    Put(static_cast<unsigned>(distances - 1), 5);
    Put(15, 4);
    for (const unsigned symbol : kOrder) Put(precode[symbol], 3);
    const auto put = [&](unsigned symbol, unsigned extra, unsigned bits) {
      Put(precodes[symbol], precode[symbol]);
      Put(extra, bits);
    };
    for (size_t i = 0; i < all.size();) {
      size_t run = 1;
      while (i + run < all.size() && all[i + run] == all[i]) ++run;
      if (random_->OneIn(2000)) run += 7;
      if (all[i] == 0 && run >= 11 && precode[18] != 0 && !random_->OneIn(8)) {
        run = std::min<size_t>(run, 138);
        put(18, static_cast<unsigned>(run - 11), 7);
      } else if (all[i] == 0 && run >= 3 && precode[17] != 0 && !random_->OneIn(8)) {
        run = std::min<size_t>(run, 10);
        put(17, static_cast<unsigned>(run - 3), 3);
      } else if (i > 0 && all[i] == all[i - 1] && run >= 3 && precode[16] != 0 && !random_->OneIn(8)) {
        run = std::min<size_t>(run, 6);
        put(16, static_cast<unsigned>(run - 3), 2);
      } else {
        run = 1;
        put(all[i], 0, 0);
      }
      i += run;
    }
    Symbols(lengths, distanceLengths);
  }
  void Symbols(const std::vector<unsigned>& lengths, const std::vector<unsigned>& distances) {
    const auto codes = CodesOf(lengths);
    const auto distanceCodes = CodesOf(distances);
    std::vector<size_t> usable;
    for (size_t i = 0; i < lengths.size(); ++i)
      if (lengths[i] != 0 && i != 256) usable.push_back(i);
    size_t left = usable.empty() ? 0 : random_->Below(5000, true);
    for (; left > 0; --left) {
      const size_t symbol = usable[random_->Below(usable.size())];
      if (symbol > 285 && !random_->OneIn(200)) continue;
      Put(codes[symbol], lengths[symbol]);
      if (symbol < 256) continue;
      const unsigned extra = symbol < 265 || symbol == 285 ? 0 : static_cast<unsigned>(symbol - 261) / 4;
      Put(static_cast<unsigned>(random_->Below(32)), extra);
      const size_t distance =
          random_->Below(random_->OneIn(4) ? distances.size() : std::min<size_t>(6, distances.size()));
      Put(distanceCodes[distance], distances[distance]);
      if (distance > 3)
        Put(static_cast<unsigned>(random_->Below(8192)), static_cast<unsigned>(distance - 2) / 2);
    }
    if (lengths.size() > 256) Put(codes[256], lengths[256]);
  }

  Random* const random_;
  Bytes bytes_;
  size_t count_ = 0;
};

inline void Damage(Bytes* stream, Random* random) {
  for (size_t edits = random->Below(4, true) + 1; edits > 0 && !stream->empty(); --edits) {
    const size_t at = random->Below(stream->size());
    switch (random->Below(4)) {
      case 0:
        (*stream)[at] ^= static_cast<uint8_t>(1u << random->Below(8));
        break;
      case 1:
        (*stream)[at] = static_cast<uint8_t>(random->Below(256));
        break;
      case 2:
        stream->resize(at);
        break;
      default:
        stream->erase(stream->begin() + static_cast<ptrdiff_t>(at));
    }
  }
}

inline Bytes SomeStream(Random* random) {
  return random->OneIn(2) ? StreamWriter(random).Write() : Deflate(SomeContent(random), random);
}

}  // namespace registryfs
