#include "zlib_inflater.h"

#include <algorithm>

namespace registryfs {

namespace {

constexpr ptrdiff_t kMaximumHistory = 32768;
// zlib counts in 32 bits.
constexpr ptrdiff_t kMaximumStep = 1 << 30;

// zlib.h, inflate: data_type with Z_BLOCK.
constexpr int kLastBlock = 64;
constexpr int kBlockBoundary = 128;

}  // namespace

ZlibInflater::ZlibInflater() { inflateInit2(&stream_, -15); }

void ZlibInflater::Reset(unsigned bits, unsigned value) {
  inflateReset2(&stream_, -15);
  if (bits > 0) inflatePrime(&stream_, static_cast<int>(bits), static_cast<int>(value & ((1u << bits) - 1)));
  knowsHistory_ = false;
  problem_ = nullptr;
}

BlockInflater::Status ZlibInflater::Decode(const uint8_t** next, const uint8_t* end, const uint8_t* history,
                                           uint8_t** out, uint8_t* limit) {
  if (problem_ != nullptr) return Status::kCorrupt;
  if (!knowsHistory_ && *out > history) {
    const ptrdiff_t bytes = std::min(*out - history, kMaximumHistory);
    if (inflateSetDictionary(&stream_, *out - bytes, static_cast<uInt>(bytes)) != Z_OK) {
      problem_ = "zlib takes no window";
      return Status::kCorrupt;
    }
  }
  knowsHistory_ = true;
  for (;;) {
    const uInt input = static_cast<uInt>(std::min(end - *next, kMaximumStep));
    const uInt room = static_cast<uInt>(std::clamp<ptrdiff_t>(limit - *out, 0, kMaximumStep));
    stream_.next_in = const_cast<uint8_t*>(*next);
    stream_.avail_in = input;
    stream_.next_out = *out;
    stream_.avail_out = room;
    const int result = inflate(&stream_, Z_BLOCK);
    *next += input - stream_.avail_in;
    *out += room - stream_.avail_out;
    if (result == Z_STREAM_END) return Status::kStreamEnd;
    if (result != Z_OK && result != Z_BUF_ERROR) {
      problem_ = stream_.msg != nullptr ? stream_.msg : "zlib has no memory";
      return Status::kCorrupt;
    }
    // After the last block the stream's end is one call away.
    if (result == Z_OK && (stream_.data_type & kBlockBoundary) != 0) {
      if ((stream_.data_type & kLastBlock) == 0) return Status::kBlockEnd;
      continue;
    }
    if (*out >= limit) return Status::kLimit;
    if (*next == end) return Status::kNeedInput;
  }
}

}  // namespace registryfs
