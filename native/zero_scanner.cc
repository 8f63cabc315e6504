#include "zero_scanner.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace registryfs {

namespace {
constexpr uint8_t kZeros[ZeroScanner::kGrain] = {};
}

bool ZeroScanner::Add(const uint8_t* data, size_t length) {
  bool zero = true;
  while (length > 0) {
    const uint64_t block = offset_ - offset_ % kGrain;
    const size_t bytes = static_cast<size_t>(std::min<uint64_t>(block + kGrain - offset_, length));
    // libc's memcmp goes by vectors, and is done with a block of data at its first one.
    if (std::memcmp(data, kZeros, bytes) != 0) {
      zero = false;
      Report(block);
      start_ = block + kGrain;
      reported_ = start_;
    }
    offset_ += bytes;
    data += bytes;
    length -= bytes;
  }
  return zero;
}

ZeroScanner::Runs ZeroScanner::Take() {
  Report(offset_ - offset_ % kGrain);
  return std::exchange(runs_, {});
}

void ZeroScanner::Report(uint64_t end) {
  if (end <= reported_ || end - start_ < kShortestRun) return;
  runs_.push_back(reported_);
  runs_.push_back(end - reported_);
  reported_ = end;
}

bool ZeroScanner::Resume(uint64_t offset, uint64_t start) {
  if (start % kGrain != 0 || start >= offset + kGrain) return false;
  offset_ = offset;
  start_ = start;
  const uint64_t end = offset - offset % kGrain;
  reported_ = end >= start + kShortestRun ? end : start;
  return true;
}

}  // namespace registryfs
