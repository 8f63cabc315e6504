#include "zstd_pass.h"

#include <algorithm>

namespace registryfs {

namespace {
// Close waits for one step; a step makes no more than this.
constexpr size_t kStepBytes = 256 << 10;
}  // namespace

bool ZstdPass::Step() {
  // kHeader: at the magic number of a frame; kData: in a frame.
  return state_ == State::kData ? DecodeStep() : ReadMagic();
}

// The decoder would take frames of formats older than RFC 8878 as well.
bool ZstdPass::ReadMagic() {
  if (magicHave_ == 0) frameStart_ = inputStart_ + inputUsed_;
  while (magicHave_ < sizeof(magic_) && inputUsed_ < input_.length)
    magic_[magicHave_++] = input_.data[inputUsed_++];
  if (magicHave_ < sizeof(magic_)) return true;
  magicHave_ = 0;
  if (const char* problem = zstd_.Begin(magic_)) {
    Fail(Event::Fault::kData, problem);
    return false;
  }
  state_ = State::kData;
  return true;
}

bool ZstdPass::DecodeStep() {
  history_ = 0;  // the decoder keeps its own window
  if (slot_ < 0 && !AcquireSlot()) return false;
  const uint64_t spanBytes = produced_ - spanStart_;
  const uint64_t longest = span_->event.atHeader ? parameters_.maximumSpanBytes : parameters_.spacingBytes;
  const size_t room = static_cast<size_t>(
      std::min({static_cast<uint64_t>(parameters_.slotBytes - slotFilled_), static_cast<uint64_t>(kStepBytes),
                longest - std::min(longest, spanBytes)}));
  const uint8_t* next = input_.data + inputUsed_;
  const size_t left = input_.length - inputUsed_;
  const ZstdDecoder::Step step = zstd_.Decode(&next, std::min(left, kStepBytes), outputEnd_, room);
  held_.store(zstd_.heldBytes(), std::memory_order_relaxed);
  inputUsed_ = static_cast<size_t>(next - input_.data);
  if (step.made > 0) outputBitEnd_ = (inputStart_ + inputUsed_) * 8;
  Produced(step.made);
  // More may come out without input.
  outputPending_ = !step.frameEnded && step.made == room;
  if (step.problem != nullptr) {
    Fail(zstd_.isTooMuch()       ? Event::Fault::kLimit
         : zstd_.isOutOfMemory() ? Event::Fault::kHost
                                 : Event::Fault::kData,
         step.problem);
    return false;
  }
  if (step.frameEnded) {
    state_ = State::kHeader;
    firstMember_ = false;
    lastTrailerEnd_ = inputStart_ + inputUsed_;
    if (produced_ == spanStart_) {
      // Nothing of the frame is in it, or nothing at all as yet.
      span_->event.atHeader = true;
      span_->event.compressedBitOffset = lastTrailerEnd_ * 8;
      spanInputStart_ = lastTrailerEnd_;
    } else if (IsDue() || !span_->event.atHeader) {
      CutHere(lastTrailerEnd_ * 8, true);
    }
  } else if (produced_ - spanStart_ >= longest) {
    CutInFrame();
  } else if (span_->event.atHeader && spanInputBytes() >= parameters_.maximumSpanBytes) {
    // Blocks that make next to nothing have no end; what lies within a frame is decoded piece by piece.
    if (produced_ > spanStart_) {
      CutInFrame();
    } else {
      span_->event.atHeader = false;
    }
  }
  if (slot_ >= 0 && slotFilled_ == parameters_.slotBytes) EmitBlock();
  return true;
}

void ZstdPass::CutInFrame() {
  EmitBlock();
  EndSpan((inputStart_ + inputUsed_) * 8);
  Event cut(Event::Kind::kCut);
  cut.uncompressedOffset = produced_;
  sink_->Emit(std::move(cut));
  // As if at a header: there is no window to wait for.
  BeginSpan(frameStart_ * 8, true);
  span_->event.atHeader = false;
}

std::string ZstdPass::Unfinished() const {
  if (state_ == State::kHeader && magicHave_ == 0 && !firstMember_) return "";
  return "the zstd data ends too early: the layer is truncated";
}

}  // namespace registryfs
