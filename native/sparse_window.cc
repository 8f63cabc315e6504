#include "sparse_window.h"

#include <cstring>

namespace registryfs {

namespace {

// As many zeros belong to a run: to end it costs as much.
constexpr size_t kShortestGap = 3;

void AppendCount(std::vector<uint8_t>* bytes, size_t value) {
  for (; value >= 0x80; value >>= 7) bytes->push_back(static_cast<uint8_t>(value | 0x80));
  bytes->push_back(static_cast<uint8_t>(value));
}

bool TakeCount(const uint8_t** next, const uint8_t* end, size_t* value) {
  *value = 0;
  for (unsigned shift = 0; shift < 21 && *next < end; shift += 7) {
    const uint8_t byte = *(*next)++;
    *value |= static_cast<size_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace

std::vector<uint8_t> PackWindow(const uint8_t* window, size_t length) {
  std::vector<uint8_t> runs;
  std::vector<uint8_t> bytes;
  size_t count = 0;
  size_t last = 0;
  for (size_t at = 0; at < length;) {
    if (window[at] == 0) {
      ++at;
      continue;
    }
    size_t end = at;  // behind the run's last byte that is not 0
    for (size_t next = at; next < length && next - end < kShortestGap; ++next) {
      if (window[next] != 0) end = next + 1;
    }
    AppendCount(&runs, at - last);
    AppendCount(&runs, end - at);
    bytes.insert(bytes.end(), window + at, window + end);
    ++count;
    last = at = end;
  }
  std::vector<uint8_t> packed;
  AppendCount(&packed, count);
  packed.insert(packed.end(), runs.begin(), runs.end());
  packed.insert(packed.end(), bytes.begin(), bytes.end());
  return packed;
}

bool UnpackWindow(const uint8_t* packed, size_t packedLength, uint8_t* window, size_t length) {
  const uint8_t* const packedEnd = packed + packedLength;
  const uint8_t* next = packed;
  size_t count;
  if (!TakeCount(&next, packedEnd, &count)) return false;
  const uint8_t* bytes = next;
  size_t gap;
  size_t run;
  for (size_t i = 0; i < count; ++i) {
    if (!TakeCount(&bytes, packedEnd, &gap) || !TakeCount(&bytes, packedEnd, &run)) return false;
  }
  std::memset(window, 0, length);
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!TakeCount(&next, packedEnd, &gap) || !TakeCount(&next, packedEnd, &run)) return false;
    if (gap + run > length - at || run > static_cast<size_t>(packedEnd - bytes)) return false;
    std::memcpy(window + at + gap, bytes, run);
    at += gap + run;
    bytes += run;
  }
  return bytes == packedEnd;
}

}  // namespace registryfs
