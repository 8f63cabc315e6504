#include "copy_pass.h"

#include <algorithm>
#include <cstring>

namespace registryfs {

namespace {
// Close waits for one step.
constexpr size_t kStepBytes = 256 << 10;
}  // namespace

bool CopyPass::Step() {
  history_ = 0;  // nothing refers back
  if (slot_ < 0 && !AcquireSlot()) return false;
  const uint64_t spanLeft = parameters_.maximumSpanBytes - (produced_ - spanStart_);
  const size_t bytes = static_cast<size_t>(
      std::min({static_cast<uint64_t>(input_.length - inputUsed_), static_cast<uint64_t>(kStepBytes),
                static_cast<uint64_t>(parameters_.slotBytes - slotFilled_), spanLeft}));
  std::memcpy(outputEnd_, input_.data + inputUsed_, bytes);
  inputUsed_ += bytes;
  outputBitEnd_ = (inputStart_ + inputUsed_) * 8;
  Produced(bytes);
  lastTrailerEnd_ = inputStart_ + inputUsed_;
  if (produced_ - spanStart_ == parameters_.maximumSpanBytes) {
    CutHere(lastTrailerEnd_ * 8, true);
  } else if (slotFilled_ == parameters_.slotBytes) {
    EmitBlock();
  }
  return true;
}

}  // namespace registryfs
