#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hash_lane.h"
#include "zero_scanner.h"

namespace registryfs {

// A block of the tar with little beside zeros in it. That little is copied for the hash: the block would
// hold its slot until all the zeros before it are hashed, and few such blocks hold all slots.
class SparseBlock {
 public:
  // `length` bytes from `offset` of the tar on, with these runs of zeros in them.
  SparseBlock(const ZeroScanner::Runs& runs, uint64_t offset, size_t length);

  // Whether it may be added to `lane`: it is sparse, and the lane has room for what is to be copied.
  bool Reserve(HashLane* lane) const;
  // Once, after it was reserved. `bytes`: the whole block.
  void AddTo(HashLane* lane, const uint8_t* bytes) const;

 private:
  struct Piece {
    size_t start;
    size_t length;
  };

  const size_t length_;
  size_t dataBytes_ = 0;
  std::vector<Piece> data_;
};

}  // namespace registryfs
