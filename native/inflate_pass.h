#pragma once

#include <zlib.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "block_inflater.h"
#include "event.h"
#include "gzip_header.h"
#include "hash_lane.h"
#include "running_crc32.h"
#include "sha256.h"
#include "thread.h"
#include "window_maker.h"
#include "zero_scanner.h"

namespace registryfs {

struct PassParameters {
  uint64_t spacingBytes;
  uint64_t minimumCompressedBytes;
  uint64_t maximumSpanBytes;
  uint64_t checkpointBytes;
  uint64_t chunkBytes;
  // Where the blocks begin. The decoder writes up to kSlotHeadBytes before them, for what matches refer to,
  // and kSlotTailBytes behind slotBytes.
  std::vector<uint8_t*> slots;
  size_t slotBytes;     // no less than kSlotTailBytes
  bool sha512 = false;  // of blob and tar, beside sha256; then there are no checkpoints
  bool zlib = false;    // instead of our own decoder
  // The blob's digest is told before the end when hashing the tar is so many zeros behind.
  uint64_t lagBytes = UINT64_MAX;
};

constexpr size_t kSlotHeadBytes = kWindowBytes;
constexpr size_t kSlotTailBytes = BlockInflater::kSlackBytes;

// The threads of one first pass over a gzip blob; knows nothing of JavaScript.
//
//   Push -> input queue -> inflate thread -> slots -> kBlock events
//                              |   |  `-> window thread -> kSpan events, in order
//                              |   `----> tar hash lane (sha256; a slot is free when released and hashed)
//                              `--------> blob hash lane (sha256, and its state after each chunk; then
//                              kConsumed)
//
// A span is reported once it has ended and its window is made, a checkpoint once both lanes have passed its
// place; `ordered_` keeps spans in the order of the tar, and checkpoints behind the spans before them.
//
// Other codecs derive from it, and say what a step is and when a blob may end.
class InflatePass {
 public:
  InflatePass(PassParameters parameters, EventSink* sink);
  virtual ~InflatePass() { Close(); }

  // Before Start. False when the state is not one of ours, or damaged.
  bool Resume(uint64_t compressedBitOffset, uint64_t uncompressedOffset, const uint8_t* state, size_t length);
  // Where there are no threads to be had the pass is over, with a kFailure.
  void Start();

  void Push(const uint8_t* data, size_t length);
  void Finish();
  void ReleaseSlot(uint32_t slot);
  // What the decoder holds beside the slots.
  virtual size_t decoderBytes() const { return 0; }
  // Stops and joins all threads. No event comes afterwards.
  void Close();

 protected:
  enum class State { kHeader, kPrime, kData, kTrailer, kBetween, kPadding };

  // A span or a checkpoint on its way to the sink.
  struct Ordered {
    Ordered(Event::Kind kind, int waitsFor) : event(kind), pending(waitsFor) {}

    Event event;
    int pending;
    WindowJob job;
  };
  using OrderedPointer = std::shared_ptr<Ordered>;

  // The inflate thread.
  void Run();
  // False when the pass is over.
  virtual bool Step();
  // At the end of the blob: what is missing, empty when nothing is.
  virtual std::string Unfinished() const;
  // Of checkpoints.
  virtual uint32_t stateMagic() const { return 0x4b434652; }  // 'RFCK'
  bool NextInput();
  void FinishInput();
  bool ReadHeader();
  void Prime();
  bool InflateStep();
  bool ReadTrailer();
  void ReadBetween();
  bool AcquireSlot();
  void EmitBlock();
  void End();
  void Fail(Event::Fault fault, const std::string& message);
  void Produced(size_t bytes);
  void Consumed(const uint8_t* from, size_t bytes);
  void CloseSegment();
  bool IsDue() const;
  // Of the blob, taken since the span's first byte.
  uint64_t spanInputBytes() const { return inputStart_ + inputUsed_ - spanInputStart_; }

  // Seek points, windows and checkpoints (pass_points.cc).
  void BeginSpan(uint64_t bitOffset, bool atHeader);
  void BeginSpanHere(uint64_t bitOffset, bool atHeader);
  void EndSpan(uint64_t bitOffset);
  void PassEmptyInput(uint64_t bitOffset, bool atHeader);
  void CutHere(uint64_t bitOffset, bool atHeader);
  void FinishWindowInput();
  void MakeCheckpoint(uint64_t bitOffset, bool atHeader);
  std::vector<uint8_t> EncodeState(const SHA256_CTX& blob, const SHA256_CTX& tar, const Event& place,
                                   uint32_t memberCrc, uint64_t memberBytes, uint64_t zeroStart,
                                   const std::vector<uint8_t>& window) const;
  std::vector<uint8_t> CurrentWindow();
  void Settle(const OrderedPointer& item);
  void TellEnd();
  void TellBlob(const Event& end);
  void RunWindows();

  void HashBlob(const uint8_t* data, size_t length);
  void HashTar(const uint8_t* data, size_t length);
  void SealChunk(const std::array<uint8_t, 32>& seal);
  void DropSlot(uint32_t slot);
  bool closing() const { return closing_.load(std::memory_order_relaxed); }

  const PassParameters parameters_;
  EventSink* const sink_;
  std::atomic<bool> closing_{false};

  std::mutex inputMutex_;
  std::condition_variable inputChanged_;
  struct Input {
    const uint8_t* data;
    size_t length;
  };
  std::deque<Input> inputs_;
  bool inputFinished_ = false;

  std::mutex slotMutex_;
  std::condition_variable slotChanged_;
  std::vector<int> slotHolders_;  // JavaScript and the tar lane

  // The inflate thread's own.
  const std::unique_ptr<BlockInflater> decoder_;
  GzipHeader header_;
  State state_ = State::kHeader;
  Input input_ = {nullptr, 0};
  size_t inputUsed_ = 0;     // of input_
  size_t inputHashed_ = 0;   // of input_: handed to the blob lane
  uint64_t inputStart_ = 0;  // blob offset of input_.data
  uint8_t lastByte_ = 0;     // the last one that inflate took
  int slot_ = -1;
  size_t slotFilled_ = 0;
  // The member's output up to now: `history_` bytes before `outputEnd_`, in a slot that may be somebody
  // else's by now, to be read, or in `resumedWindow_`.
  uint8_t* outputEnd_ = nullptr;
  size_t history_ = 0;
  std::vector<uint8_t> resumedWindow_;
  bool outputPending_ = false;  // the last step ended for want of room: more may come without input
  uint64_t produced_ = 0;       // tar bytes
  uint64_t spanStart_ = 0;
  uint64_t spanInputStart_ = 0;
  uint64_t outputBitEnd_ = 0;  // in the blob, of what made the newest output
  uint32_t spanCrc_ = 0;
  bool spanZero_ = true;
  bool slotZero_ = true;
  ZeroScanner zeros_;
  RunningCrc32 segmentCrc_;  // since the last end of a span or member
  uint64_t segmentBytes_ = 0;
  uint32_t memberCrc_ = 0;
  uint64_t memberBytes_ = 0;
  uint8_t trailer_[8];
  size_t trailerHave_ = 0;
  uint64_t memberStart_ = 0;  // blob offset of the present member's header
  uint64_t lastTrailerEnd_ = 0;
  uint64_t lastCheckpoint_ = 0;
  bool firstMember_ = true;
  bool ended_ = false;
  OrderedPointer span_;
  bool collecting_ = false;  // span_->job.input

  std::mutex orderedMutex_;
  std::deque<OrderedPointer> ordered_;

  std::mutex windowMutex_;
  std::condition_variable windowChanged_;
  std::deque<OrderedPointer> windowJobs_;

  // The blob lane's own.
  Sha256 blobSha_;
  uint64_t blobHashed_ = 0;
  Sha512 blobSha512_;
  // The tar lane's own.
  Sha256 tarSha_;
  Sha512 tarSha512_;

  std::unique_ptr<HashLane> blobLane_;
  std::unique_ptr<HashLane> tarLane_;
  Thread windowThread_;
  Thread inflateThread_;
};

}  // namespace registryfs
