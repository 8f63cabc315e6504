// The decoder against zlib, the oracle: output, end, words and every block boundary must be the same, in
// pieces and with limits of any size, and each boundary must resume.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../../native/deflate_decoder.h"
#include "deflate_streams.h"

namespace registryfs {

constexpr size_t kOracleWindowBytes = 32768;

struct Boundary {
  uint64_t bit;
  size_t output;
  bool operator==(const Boundary& other) const { return bit == other.bit && output == other.output; }
};

struct Outcome {
  std::string end;  // "end", "cut off", or what is wrong
  Bytes output;
  size_t taken = 0;  // where the stream ends
  std::vector<Boundary> boundaries;
};

inline Outcome InflateByZlib(const Bytes& input) {
  Outcome outcome;
  z_stream stream = {};
  inflateInit2(&stream, -15);
  stream.next_in = const_cast<uint8_t*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  Bytes part(1 << 16);
  for (;;) {
    stream.next_out = part.data();
    stream.avail_out = static_cast<uInt>(part.size());
    const int result = inflate(&stream, Z_BLOCK);
    outcome.output.insert(outcome.output.end(), part.begin(),
                          part.end() - static_cast<ptrdiff_t>(stream.avail_out));
    if (result == Z_STREAM_END) {
      outcome.end = "end";
      outcome.taken = stream.total_in;
      break;
    }
    if (result != Z_OK) {
      // Z_BUF_ERROR: it could do nothing.
      outcome.end = result == Z_BUF_ERROR ? "cut off" : stream.msg;
      break;
    }
    if ((stream.data_type & 192) == 128) {
      outcome.boundaries.push_back(
          {stream.total_in * 8 - static_cast<unsigned>(stream.data_type & 7), outcome.output.size()});
    }
  }
  inflateEnd(&stream);
  return outcome;
}

inline void Require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "not as zlib: %s\n", what);
  std::abort();
}

// From `from` on, with what the stream has before it. In pieces that end where their memory ends.
inline Outcome InflateByOurs(const Bytes& input, Boundary from, const Bytes& before, size_t outputBytes,
                             Random* random) {
  Outcome outcome;
  DeflateDecoder decoder;
  size_t offset = from.bit / 8;
  const unsigned unused = from.bit % 8 == 0 ? 0 : 8 - from.bit % 8;
  decoder.Reset(unused, unused == 0 ? 0 : input[offset++] >> (8 - unused));
  const size_t capacity = 1 + outputBytes / (1 + random->Below(300, true));
  const size_t pieceBytes = 1 + input.size() / (1 + random->Below(2000, true));
  size_t history = std::min(before.size(), kOracleWindowBytes);
  Bytes window(before.end() - static_cast<ptrdiff_t>(history), before.end());
  for (bool over = false; !over;) {
    const size_t pieceLength = std::min(input.size() - offset, 1 + random->Below(pieceBytes));
    const Bytes piece(input.begin() + static_cast<ptrdiff_t>(offset),
                      input.begin() + static_cast<ptrdiff_t>(offset + pieceLength));
    const uint8_t* next = piece.data();
    const uint8_t* const end = next + pieceLength;
    for (bool dry = false; !dry && !over;) {
      const size_t room = random->Below(capacity + 1);
      Bytes memory = window;
      memory.resize(history + room + DeflateDecoder::kSlackBytes);
      uint8_t* const start = memory.data() + history;
      uint8_t* out = start;
      const DeflateDecoder::Status status = decoder.Decode(&next, end, memory.data(), &out, start + room);
      Require(out <= start + room + DeflateDecoder::kMaximumOverrun || room == 0,
              "more output than the limit");
      Require(status != DeflateDecoder::Status::kLimit || out >= start + room, "less output than the limit");
      outcome.output.insert(outcome.output.end(), start, out);
      history = std::min<size_t>(static_cast<size_t>(out - memory.data()), kOracleWindowBytes);
      window.assign(out - history, out);
      const size_t taken = offset + static_cast<size_t>(next - piece.data());
      switch (status) {
        case DeflateDecoder::Status::kNeedInput:
          Require(next == end, "input is left");
          dry = true;
          over = offset + pieceLength == input.size();
          if (over) outcome.end = "cut off";
          break;
        case DeflateDecoder::Status::kLimit:
          break;
        case DeflateDecoder::Status::kBlockEnd:
          Require(decoder.unusedBits() < 8, "whole bytes are unused");
          outcome.boundaries.push_back(
              {taken * 8 - decoder.unusedBits(), from.output + outcome.output.size()});
          break;
        case DeflateDecoder::Status::kStreamEnd:
          outcome.end = "end";
          outcome.taken = taken;
          over = true;
          break;
        case DeflateDecoder::Status::kCorrupt:
          outcome.end = decoder.problem();
          over = true;
      }
    }
    offset += pieceLength;
  }
  return outcome;
}

// How the stream ends.
inline std::string CheckAgainstZlib(const Bytes& stream, Random* random) {
  const Outcome theirs = InflateByZlib(stream);
  const Outcome ours = InflateByOurs(stream, {0, 0}, {}, theirs.output.size(), random);
  if (ours.end != theirs.end)
    std::fprintf(stderr, "'%s', zlib says '%s'\n", ours.end.c_str(), theirs.end.c_str());
  Require(ours.end == theirs.end, "it ends otherwise");
  Require(ours.output == theirs.output, "the output is wrong");
  Require(ours.taken == theirs.taken, "the stream ends elsewhere");
  Require(ours.boundaries == theirs.boundaries, "the boundaries are wrong");
  if (ours.boundaries.empty()) return theirs.end;
  const Boundary from = ours.boundaries[random->Below(ours.boundaries.size())];
  const auto middle = ours.output.begin() + static_cast<ptrdiff_t>(from.output);
  const Outcome rest =
      InflateByOurs(stream, from, Bytes(ours.output.begin(), middle), theirs.output.size(), random);
  Require(rest.end == theirs.end && rest.taken == theirs.taken, "a boundary ends otherwise");
  Require(std::equal(rest.output.begin(), rest.output.end(), middle, ours.output.end()),
          "a boundary does not resume");
  return theirs.end;
}

}  // namespace registryfs
