#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace registryfs {

// A seek point's window, of which a few bytes are needed and the others are 0, as runs of bytes: how many
// runs, of each how many zeros come before it and its length, all as varints (LEB128), then the bytes of all
// runs. Deflated it is a fifth smaller than the window itself, and in a fraction of the time.
std::vector<uint8_t> PackWindow(const uint8_t* window, size_t length);

// More than any window of 32 KiB is packed.
constexpr size_t kMaximumPackedWindow = 64 << 10;

// False when the bytes are not a window of that length.
bool UnpackWindow(const uint8_t* packed, size_t packedLength, uint8_t* window, size_t length);

}  // namespace registryfs
