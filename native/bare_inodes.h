#pragma once

#include <cstddef>
#include <cstdint>

namespace registryfs {

// Inodes that have no xattrs but those that JavaScript makes up (user.registryfs.*): a bit for each, in
// memory that JavaScript writes (src/tree/bare-inodes.ts) and the threads that read /dev/fuse only look at. A
// bit is set before the kernel hears of the inode, and stays: a number is never another node's. What is
// behind the last one is not known.
class BareInodes {
 public:
  // Before the bits: how many answers were given because of them.
  static constexpr size_t kHeadBytes = sizeof(uint64_t);

  // None.
  BareInodes() = default;

  // `shared` begins where a uint64_t may, and outlives this.
  BareInodes(uint8_t* shared, size_t length) {
    if (length <= kHeadBytes || reinterpret_cast<uintptr_t>(shared) % alignof(uint64_t) != 0) return;
    answers_ = reinterpret_cast<uint64_t*>(shared);
    bits_ = shared + kHeadBytes;
    bytes_ = length - kHeadBytes;
  }

  bool Has(uint64_t inode) const {
    const uint64_t at = inode / 8;
    return at < bytes_ && (__atomic_load_n(bits_ + at, __ATOMIC_RELAXED) >> (inode % 8) & 1) != 0;
  }

  void CountAnswer() const { __atomic_fetch_add(answers_, 1, __ATOMIC_RELAXED); }

 private:
  uint64_t* answers_ = nullptr;
  const uint8_t* bits_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace registryfs
