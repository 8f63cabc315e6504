#pragma once

#include <zlib.h>

#include "block_inflater.h"

namespace registryfs {

// Node's zlib: the slower one, which half the world has tried.
class ZlibInflater final : public BlockInflater {
 public:
  ZlibInflater();
  ~ZlibInflater() override { inflateEnd(&stream_); }
  ZlibInflater(const ZlibInflater&) = delete;
  ZlibInflater& operator=(const ZlibInflater&) = delete;

  void Reset(unsigned bits = 0, unsigned value = 0) override;
  Status Decode(const uint8_t** next, const uint8_t* end, const uint8_t* history, uint8_t** out,
                uint8_t* limit) override;
  unsigned unusedBits() const override { return static_cast<unsigned>(stream_.data_type) & 63; }
  const char* problem() const override { return problem_; }

 private:
  z_stream stream_ = {};
  // It has a window of its own, which is filled once.
  bool knowsHistory_ = false;
  const char* problem_ = nullptr;
};

}  // namespace registryfs
