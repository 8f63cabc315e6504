#include "sparse_block.h"

#include <algorithm>

namespace registryfs {

namespace {
// What is copied must cost next to nothing beside what is inflated.
constexpr size_t kMostDataIn = 8;
}  // namespace

SparseBlock::SparseBlock(const ZeroScanner::Runs& runs, uint64_t offset, size_t length) : length_(length) {
  const auto add = [this](size_t start, size_t end) {
    if (start >= end) return;
    data_.push_back({start, end - start});
    dataBytes_ += end - start;
  };
  size_t at = 0;
  for (size_t i = 0; i + 1 < runs.size(); i += 2) {
    // The first run may have begun in the block before.
    const uint64_t start = std::max(runs[i], offset);
    const uint64_t end = std::min(runs[i] + runs[i + 1], offset + length);
    if (start >= end) continue;
    add(at, static_cast<size_t>(start - offset));
    at = static_cast<size_t>(end - offset);
  }
  add(at, length);
}

bool SparseBlock::Reserve(HashLane* lane) const {
  return dataBytes_ <= length_ / kMostDataIn && lane->ReserveCopies(dataBytes_);
}

void SparseBlock::AddTo(HashLane* lane, const uint8_t* bytes) const {
  size_t at = 0;
  for (const Piece& piece : data_) {
    if (piece.start > at) lane->AddZeros(piece.start - at);
    lane->AddCopy(bytes + piece.start, piece.length);
    at = piece.start + piece.length;
  }
  if (at < length_) lane->AddZeros(length_ - at);
}

}  // namespace registryfs
