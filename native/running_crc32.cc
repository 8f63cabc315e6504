#include "running_crc32.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "crc32.h"

namespace registryfs {

namespace {

// Reckoning a run of zeros in takes about as long as the CRC-32 of 4 KiB.
constexpr size_t kStepBytes = 16 << 10;

bool IsZero(const uint8_t* data, size_t length) {
  return data[0] == 0 && std::memcmp(data, data + 1, length - 1) == 0;
}

}  // namespace

bool RunningCrc32::Update(const uint8_t* data, size_t length) {
  bool zero = true;
  while (length > 0) {
    const size_t bytes = std::min(length, kStepBytes);
    if (IsZero(data, bytes)) {
      zeros_ += bytes;
    } else {
      zero = false;
      sum_ = UpdateCrc32(value(), data, bytes);
      zeros_ = 0;
    }
    data += bytes;
    length -= bytes;
  }
  return zero;
}

// crc32_combine moves the first sum over the second one's bytes and adds that one. In the register itself,
// which is the complement of the sum, zeros add nothing.
uint32_t RunningCrc32::value() const {
  if (zeros_ == 0) return sum_;
  return ~static_cast<uint32_t>(crc32_combine64(~sum_, 0, static_cast<z_off64_t>(zeros_)));
}

}  // namespace registryfs
