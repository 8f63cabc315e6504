#include "inflate_pass.h"

#include <algorithm>
#include <cstring>

#include "deflate_decoder.h"
#include "sparse_block.h"
#include "zlib_inflater.h"

namespace registryfs {

namespace {
// Close waits for one step; a step makes no more than this.
constexpr ptrdiff_t kStepBytes = 256 << 10;

std::unique_ptr<BlockInflater> MakeInflater(bool zlib) {
  if (zlib) return std::make_unique<ZlibInflater>();
  return std::make_unique<DeflateDecoder>();
}
}  // namespace

InflatePass::InflatePass(PassParameters parameters, EventSink* sink)
    : parameters_(std::move(parameters)),
      sink_(sink),
      slotHolders_(parameters_.slots.size(), 0),
      decoder_(MakeInflater(parameters_.zlib)) {}

void InflatePass::Start() {
  if (!span_) BeginSpan(0, true);
  blobLane_ =
      std::make_unique<HashLane>([this](const uint8_t* data, size_t length) { HashBlob(data, length); });
  tarLane_ =
      std::make_unique<HashLane>([this](const uint8_t* data, size_t length) { HashTar(data, length); });
  int error = blobLane_->Start();
  if (error == 0) error = tarLane_->Start();
  if (error == 0) error = windowThread_.Start([this] { RunWindows(); });
  if (error == 0) error = inflateThread_.Start([this] { Run(); });
  if (error == 0) return;
  Fail(Event::Fault::kHost,
       std::string("no thread for a first pass (ulimit -u, pids.max): ") + strerror(error));
}

void InflatePass::Push(const uint8_t* data, size_t length) {
  std::lock_guard<std::mutex> lock(inputMutex_);
  if (length > 0) inputs_.push_back({data, length});
  inputChanged_.notify_all();
}

void InflatePass::Finish() {
  std::lock_guard<std::mutex> lock(inputMutex_);
  inputFinished_ = true;
  inputChanged_.notify_all();
}

void InflatePass::ReleaseSlot(uint32_t slot) { DropSlot(slot); }

void InflatePass::DropSlot(uint32_t slot) {
  std::lock_guard<std::mutex> lock(slotMutex_);
  if (--slotHolders_[slot] == 0) slotChanged_.notify_all();
}

void InflatePass::Close() {
  closing_ = true;
  {
    std::lock_guard<std::mutex> lock(inputMutex_);
    inputChanged_.notify_all();
  }
  {
    std::lock_guard<std::mutex> lock(slotMutex_);
    slotChanged_.notify_all();
  }
  {
    std::lock_guard<std::mutex> lock(windowMutex_);
    windowChanged_.notify_all();
  }
  // The lanes first: the inflate thread may wait for room in them.
  if (blobLane_) blobLane_->Stop();
  if (tarLane_) tarLane_->Stop();
  inflateThread_.Join();
  windowThread_.Join();
}

void InflatePass::Run() {
  while (!closing() && !ended_) {
    const bool dry = inputUsed_ == input_.length && !(state_ == State::kData && outputPending_);
    if (dry && !NextInput()) {
      if (!closing()) End();
      return;
    }
    if (!Step()) return;
  }
}

bool InflatePass::Step() {
  switch (state_) {
    case State::kHeader:
      return ReadHeader();
    case State::kPrime:
      Prime();
      break;
    case State::kData:
      return InflateStep();
    case State::kTrailer:
      return ReadTrailer();
    case State::kBetween:
      ReadBetween();
      break;
    case State::kPadding:
      inputUsed_ = input_.length;
      break;
  }
  return true;
}

// False at the end of the blob, or when closing.
bool InflatePass::NextInput() {
  FinishInput();
  std::unique_lock<std::mutex> lock(inputMutex_);
  if (inputs_.empty() && !inputFinished_) {
    // What came out so far may be all that someone waits for.
    lock.unlock();
    EmitBlock();
    lock.lock();
  }
  inputChanged_.wait(lock, [this] { return closing() || inputFinished_ || !inputs_.empty(); });
  if (closing() || inputs_.empty()) return false;
  input_ = inputs_.front();
  inputs_.pop_front();
  inputUsed_ = 0;
  inputHashed_ = 0;
  return true;
}

void InflatePass::FinishInput() {
  if (input_.data == nullptr) return;
  const uint64_t end = inputStart_ + input_.length;
  blobLane_->Add(input_.data + inputHashed_, input_.length - inputHashed_, [this, end] {
    Event event(Event::Kind::kConsumed);
    event.compressedBitOffset = end;
    sink_->Emit(std::move(event));
  });
  inputStart_ = end;
  input_ = {nullptr, 0};
  inputUsed_ = 0;
}

bool InflatePass::ReadHeader() {
  const uint8_t* next = input_.data + inputUsed_;
  const uint8_t* const from = next;
  size_t left = input_.length - inputUsed_;
  const GzipHeader::Result result = header_.Feed(&next, &left);
  Consumed(from, static_cast<size_t>(next - from));
  inputUsed_ = input_.length - left;
  if (result == GzipHeader::Result::kBad && !firstMember_ && !header_.hasMagic()) {
    state_ = State::kPadding;
    return true;
  }
  if (result == GzipHeader::Result::kBad) {
    Fail(Event::Fault::kData, header_.problem());
    return false;
  }
  if (result == GzipHeader::Result::kDone) {
    decoder_->Reset();
    history_ = 0;
    memberCrc_ = 0;
    memberBytes_ = 0;
    state_ = State::kData;
  }
  return true;
}

// A resumed pass begins in the middle of a byte.
void InflatePass::Prime() {
  const unsigned bit = span_->job.bit;
  lastByte_ = input_.data[inputUsed_];
  if (bit != 0) {
    Consumed(input_.data + inputUsed_, 1);
    decoder_->Reset(8 - bit, lastByte_ >> bit);
    inputUsed_++;
  }
  state_ = State::kData;
}

// Input that makes next to nothing has no end: whoever reads the span has it all in memory.
bool InflatePass::IsDue() const {
  const uint64_t out = produced_ - spanStart_;
  const uint64_t in = spanInputBytes();
  return (out >= parameters_.spacingBytes && in >= parameters_.minimumCompressedBytes) ||
         std::max(out, in) >= parameters_.maximumSpanBytes;
}

bool InflatePass::InflateStep() {
  if (slot_ < 0 && !AcquireSlot()) return false;
  const uint8_t* const from = input_.data + inputUsed_;
  const uint8_t* const fromEnd = input_.data + input_.length;
  const uint8_t* next = from;
  uint8_t* out = outputEnd_;
  uint8_t* const full = parameters_.slots[static_cast<size_t>(slot_)] +
                        (parameters_.slotBytes - BlockInflater::kMaximumOverrun);
  const BlockInflater::Status status =
      decoder_->Decode(&next, from + std::min(fromEnd - from, kStepBytes), outputEnd_ - history_, &out,
                       outputEnd_ + std::min(full - outputEnd_, kStepBytes));
  const size_t in = static_cast<size_t>(next - from);
  outputPending_ = status == BlockInflater::Status::kLimit;
  inputUsed_ += in;
  if (in > 0) lastByte_ = from[in - 1];
  Consumed(from, in);
  const uint64_t bitEnd = (inputStart_ + inputUsed_) * 8 -
                          (status == BlockInflater::Status::kBlockEnd ? decoder_->unusedBits() : 0);
  if (out > outputEnd_) outputBitEnd_ = bitEnd;
  Produced(static_cast<size_t>(out - outputEnd_));
  switch (status) {
    case BlockInflater::Status::kStreamEnd:
      FinishWindowInput();
      trailerHave_ = 0;
      state_ = State::kTrailer;
      break;
    case BlockInflater::Status::kCorrupt:
      Fail(Event::Fault::kData, decoder_->problem());
      return false;
    case BlockInflater::Status::kBlockEnd:
      if (produced_ == spanStart_) {
        PassEmptyInput(bitEnd, false);
      } else if (IsDue()) {
        CutHere(bitEnd, false);
      }
      break;
    default:
      break;
  }
  if (slot_ >= 0 && outputEnd_ >= full) EmitBlock();
  return true;
}

void InflatePass::Produced(size_t bytes) {
  if (bytes == 0) return;
  const uint8_t* const data = outputEnd_;
  const bool zero = segmentCrc_.Update(data, bytes);
  segmentBytes_ += bytes;
  zeros_.Add(data, bytes);
  spanZero_ = spanZero_ && zero;
  slotZero_ = slotZero_ && zero;
  outputEnd_ += bytes;
  history_ = std::min(history_ + bytes, kWindowBytes);
  slotFilled_ += bytes;
  produced_ += bytes;
  if (collecting_ && produced_ - spanStart_ >= kWindowBytes) FinishWindowInput();
}

void InflatePass::Consumed(const uint8_t* from, size_t bytes) {
  if (!collecting_) return;
  std::vector<uint8_t>& input = span_->job.input;
  // 32 KiB of output take less than this from any sane encoder; what is cut off keeps its whole window.
  constexpr size_t kMaximumInput = 96 << 10;
  const size_t wanted = std::min(bytes, kMaximumInput - std::min(kMaximumInput, input.size()));
  input.insert(input.end(), from, from + wanted);
}

void InflatePass::CloseSegment() {
  spanCrc_ = static_cast<uint32_t>(
      crc32_combine64(spanCrc_, segmentCrc_.value(), static_cast<z_off64_t>(segmentBytes_)));
  memberCrc_ = static_cast<uint32_t>(
      crc32_combine64(memberCrc_, segmentCrc_.value(), static_cast<z_off64_t>(segmentBytes_)));
  memberBytes_ += segmentBytes_;
  segmentCrc_.Reset();
  segmentBytes_ = 0;
}

bool InflatePass::ReadTrailer() {
  const uint8_t* const from = input_.data + inputUsed_;
  const size_t bytes = std::min(sizeof(trailer_) - trailerHave_, input_.length - inputUsed_);
  std::memcpy(trailer_ + trailerHave_, from, bytes);
  trailerHave_ += bytes;
  inputUsed_ += bytes;
  if (trailerHave_ < sizeof(trailer_)) return true;
  CloseSegment();
  const auto field = [this](size_t at) {
    return static_cast<uint32_t>(trailer_[at]) | static_cast<uint32_t>(trailer_[at + 1]) << 8 |
           static_cast<uint32_t>(trailer_[at + 2]) << 16 | static_cast<uint32_t>(trailer_[at + 3]) << 24;
  };
  if (field(0) != memberCrc_) {
    Fail(Event::Fault::kData, "the CRC-32 of a gzip member is wrong");
    return false;
  }
  if (field(4) != static_cast<uint32_t>(memberBytes_)) {
    Fail(Event::Fault::kData, "the length (ISIZE) of a gzip member is wrong");
    return false;
  }
  lastTrailerEnd_ = inputStart_ + inputUsed_;
  firstMember_ = false;
  state_ = State::kBetween;
  return true;
}

// Another member, or padding: gunzip ignores whatever does not begin like one.
void InflatePass::ReadBetween() {
  if (input_.data[inputUsed_] != 0x1f) {
    state_ = State::kPadding;
    return;
  }
  memberStart_ = inputStart_ + inputUsed_;
  header_.Reset();
  if (produced_ == spanStart_) {
    PassEmptyInput(memberStart_ * 8, true);
  } else if (IsDue()) {
    CutHere(memberStart_ * 8, true);
  }
  state_ = State::kHeader;
}

bool InflatePass::AcquireSlot() {
  std::unique_lock<std::mutex> lock(slotMutex_);
  for (;;) {
    if (closing()) return false;
    for (size_t i = 0; i < slotHolders_.size(); ++i) {
      if (slotHolders_[i] == 0) {
        // This thread holds it until it is emitted whole.
        slotHolders_[i] = 1;
        slot_ = static_cast<int>(i);
        slotFilled_ = 0;
        slotZero_ = true;
        if (history_ > 0) std::memmove(parameters_.slots[i] - history_, outputEnd_ - history_, history_);
        outputEnd_ = parameters_.slots[i];
        return true;
      }
    }
    slotChanged_.wait(lock);
  }
}

// Hands on what the slot has; it is not written to again, for its first bytes belong to others now. Zeros are
// told and not shown: they are found several times as fast as they are hashed, and would fill all slots
// before data of which the opposite is true.
void InflatePass::EmitBlock() {
  if (slot_ < 0 || slotFilled_ == 0) return;
  const uint32_t slot = static_cast<uint32_t>(slot_);
  Event zeros(Event::Kind::kZeros);
  zeros.runs = zeros_.Take();
  const SparseBlock block(zeros.runs, produced_ - slotFilled_, slotFilled_);
  const bool copied = !slotZero_ && block.Reserve(tarLane_.get());
  {
    std::lock_guard<std::mutex> lock(slotMutex_);
    slotHolders_[slot] = slotZero_ ? 0 : copied ? 1 : 2;
  }
  if (!zeros.runs.empty()) sink_->Emit(std::move(zeros));
  Event event(Event::Kind::kBlock);
  event.slot = slotZero_ ? Event::kNoSlot : slot;
  event.length = slotFilled_;
  event.zero = slotZero_;
  event.uncompressedOffset = produced_ - slotFilled_;
  slot_ = -1;
  sink_->Emit(std::move(event));
  if (slotZero_) {
    tarLane_->AddZeros(slotFilled_);
  } else if (copied) {
    // Nobody but this thread writes to it, whoever has let go of it.
    block.AddTo(tarLane_.get(), parameters_.slots[slot]);
  } else {
    tarLane_->Add(parameters_.slots[slot], slotFilled_, [this, slot] { DropSlot(slot); });
  }
}

void InflatePass::Fail(Event::Fault fault, const std::string& message) {
  ended_ = true;
  EmitBlock();
  Event event(Event::Kind::kFailure);
  event.fault = fault;
  event.message = message;
  event.compressedBitOffset = inputStart_ + inputUsed_;
  event.uncompressedOffset = produced_;
  sink_->Emit(std::move(event));
}

std::string InflatePass::Unfinished() const {
  const bool atPadding = state_ == State::kHeader && !firstMember_ && !header_.hasMagic();
  if (state_ == State::kBetween || state_ == State::kPadding || atPadding) return "";
  const bool empty = firstMember_ && inputStart_ == 0;
  return empty ? "the layer is empty" : "the gzip data ends too early: the layer is truncated";
}

void InflatePass::End() {
  const std::string missing = Unfinished();
  if (!missing.empty()) {
    Fail(Event::Fault::kData, missing);
    return;
  }
  ended_ = true;
  EmitBlock();
  FinishWindowInput();
  EndSpan(lastTrailerEnd_ * 8);
  TellEnd();
}

}  // namespace registryfs
