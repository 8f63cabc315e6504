#pragma once

#include "inflate_pass.h"
#include "zstd_decoder.h"

namespace registryfs {

// A pass over a blob of zstd frames. A span begins where a frame does, when enough came before it; but a
// frame that makes more than the longest span is cut into spans of the usual spacing, all of which name the
// frame's first byte as their beginning: they can only be decoded from there.
class ZstdPass : public InflatePass {
 public:
  using InflatePass::InflatePass;
  // Its threads call what is defined here.
  ~ZstdPass() override { Close(); }
  size_t decoderBytes() const override { return held_.load(std::memory_order_relaxed); }

 protected:
  bool Step() override;
  std::string Unfinished() const override;
  uint32_t stateMagic() const override { return 0x4b5a4652; }  // 'RFZK'

 private:
  bool ReadMagic();
  bool DecodeStep();
  void CutInFrame();

  ZstdDecoder zstd_;
  std::atomic<size_t> held_{0};
  uint8_t magic_[4];
  size_t magicHave_ = 0;
  uint64_t frameStart_ = 0;
};

}  // namespace registryfs
