#pragma once

#include <cstddef>
#include <cstdint>

namespace registryfs {

// CRC-32 as gzip has it. Long runs of zeros, of which disks are full, take no more than finding them.
class RunningCrc32 {
 public:
  void Reset() { *this = RunningCrc32(); }
  // Whether all of it was zero.
  bool Update(const uint8_t* data, size_t length);
  uint32_t value() const;

 private:
  uint32_t sum_ = 0;
  uint64_t zeros_ = 0;  // after what `sum_` is of
};

}  // namespace registryfs
