#include "window_maker.h"

#include <algorithm>
#include <cstring>

#include "sparse_window.h"

namespace registryfs {

WindowMaker::WindowMaker() { deflateInit2(&stream_, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY); }

SparseWindow WindowMaker::Make(WindowJob job) {
  std::vector<uint8_t>& window = job.window;
  uint8_t marks[kWindowBytes] = {};
  size_t first = 0;
  if (MarkReferences(job.input.data(), job.input.size(), job.bit, kWindowBytes, marks)) {
    const uint8_t* mark = marks + kWindowBytes - window.size();
    while (first < window.size() && mark[first] == 0) ++first;
    for (size_t i = first; i < window.size(); ++i) {
      if (mark[i] == 0) window[i] = 0;
    }
  }
  SparseWindow result;
  result.length = static_cast<uint32_t>(window.size() - first);
  if (result.length == 0) return result;
  std::vector<uint8_t> packed = PackWindow(window.data() + first, result.length);
  deflateReset(&stream_);
  result.deflated.resize(deflateBound(&stream_, static_cast<uLong>(packed.size())));
  stream_.next_in = packed.data();
  stream_.avail_in = static_cast<uInt>(packed.size());
  stream_.next_out = result.deflated.data();
  stream_.avail_out = static_cast<uInt>(result.deflated.size());
  deflate(&stream_, Z_FINISH);
  result.deflated.resize(result.deflated.size() - stream_.avail_out);
  result.deflated.shrink_to_fit();
  return result;
}

}  // namespace registryfs
