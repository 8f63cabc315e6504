#pragma once

#include <zlib.h>

#include <cstdint>
#include <vector>

#include "reference_marker.h"

namespace registryfs {

// What is known at a seek point, and the compressed bytes after it.
struct WindowJob {
  std::vector<uint8_t> window;  // up to 32 KiB before the point
  std::vector<uint8_t> input;   // from the byte that holds the point's bit
  unsigned bit = 0;
};

struct SparseWindow {
  std::vector<uint8_t> deflated;  // raw deflate of it, packed; empty when length is 0
  uint32_t length = 0;            // uncompressed
};

// Makes windows small: bytes that nothing refers to become 0, leading zeros are cut off, the rest is
// packed (sparse_window.h) and deflated.
class WindowMaker {
 public:
  WindowMaker();
  ~WindowMaker() { deflateEnd(&stream_); }
  WindowMaker(const WindowMaker&) = delete;
  WindowMaker& operator=(const WindowMaker&) = delete;

  SparseWindow Make(WindowJob job);

 private:
  z_stream stream_ = {};
};

}  // namespace registryfs
