#pragma once

#include "inflate_pass.h"

namespace registryfs {

// A pass over a tar that is not compressed.
class CopyPass : public InflatePass {
 public:
  using InflatePass::InflatePass;
  // Its threads call what is defined here.
  ~CopyPass() override { Close(); }

 protected:
  bool Step() override;
  std::string Unfinished() const override { return ""; }
  uint32_t stateMagic() const override { return 0x4b504652; }  // 'RFPK'
};

}  // namespace registryfs
