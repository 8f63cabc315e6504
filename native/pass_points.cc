// Seek points of a pass: where spans end and begin, their windows, the checkpoints at some of them, and the
// end.
#include <algorithm>
#include <cstring>

#include "inflate_pass.h"
#include "thread_seconds.h"

namespace registryfs {

namespace {
constexpr uint32_t kStateVersion = 2;

// Trailers, flushes and the like, which make no output, belong to the span before them, or to the one after;
// more than this belongs to none.
constexpr uint64_t kMaximumEmptyBytes = 64 << 10;

// Each holds a window and up to 96 KiB of input.
constexpr size_t kMaximumWindowJobs = 16;

struct StateHead {
  uint32_t magic;
  uint32_t version;
  uint32_t shaBytes;
  uint32_t memberCrc;
  uint64_t memberBytes;
  uint64_t compressedBitOffset;
  uint64_t uncompressedOffset;
  uint64_t zeroStart;
  uint32_t windowBytes;
  uint32_t atHeader;
};
static_assert(sizeof(StateHead) == 56, "no padding: the state is written as it lies in memory");

// SHA256_Update trusts `num`, an index into the block at hand.
bool IsAfter(const SHA256_CTX& context, uint64_t bytes) {
  const uint64_t bits = static_cast<uint64_t>(context.Nh) << 32 | context.Nl;
  return bits == bytes * 8 && context.num == bytes % SHA256_CBLOCK && context.md_len == SHA256_DIGEST_LENGTH;
}
}  // namespace

void InflatePass::BeginSpan(uint64_t bitOffset, bool atHeader) {
  // It waits for its end, and for its window.
  span_ = std::make_shared<Ordered>(Event::Kind::kSpan, atHeader ? 1 : 2);
  span_->event.compressedBitOffset = bitOffset;
  span_->event.uncompressedOffset = produced_;
  span_->event.atHeader = atHeader;
  spanStart_ = produced_;
  spanInputStart_ = bitOffset / 8;
  spanCrc_ = 0;
  spanZero_ = true;
  collecting_ = !atHeader;
}

// What lies before the point is in memory.
void InflatePass::BeginSpanHere(uint64_t bitOffset, bool atHeader) {
  BeginSpan(bitOffset, atHeader);
  if (atHeader) return;
  WindowJob& job = span_->job;
  job.window = CurrentWindow();
  job.bit = static_cast<unsigned>(bitOffset % 8);
  if (job.bit != 0) job.input.push_back(lastByte_);
}

// Nothing has come out since the point. A job for its window that is under way serves nobody.
void InflatePass::PassEmptyInput(uint64_t bitOffset, bool atHeader) {
  if (spanInputBytes() > kMaximumEmptyBytes) BeginSpanHere(bitOffset, atHeader);
}

void InflatePass::EndSpan(uint64_t bitOffset) {
  CloseSegment();
  if (!span_) return;
  // Nothing came out: an empty member at the end.
  if (produced_ == spanStart_) return;
  span_->event.length = produced_ - spanStart_;
  span_->event.compressedBitEnd =
      bitOffset > outputBitEnd_ + kMaximumEmptyBytes * 8 ? outputBitEnd_ : bitOffset;
  span_->event.crc32 = spanCrc_;
  span_->event.zero = spanZero_;
  {
    std::lock_guard<std::mutex> lock(orderedMutex_);
    ordered_.push_back(span_);
  }
  Settle(span_);
  span_.reset();
}

void InflatePass::CutHere(uint64_t bitOffset, bool atHeader) {
  EmitBlock();
  FinishWindowInput();
  EndSpan(bitOffset);
  Event cut(Event::Kind::kCut);
  cut.uncompressedOffset = produced_;
  cut.atHeader = atHeader;
  sink_->Emit(std::move(cut));
  BeginSpanHere(bitOffset, atHeader);
  if (produced_ - lastCheckpoint_ >= parameters_.checkpointBytes) MakeCheckpoint(bitOffset, atHeader);
}

std::vector<uint8_t> InflatePass::CurrentWindow() {
  return std::vector<uint8_t>(outputEnd_ - history_, outputEnd_);
}

void InflatePass::FinishWindowInput() {
  if (!collecting_) return;
  collecting_ = false;
  std::unique_lock<std::mutex> lock(windowMutex_);
  windowChanged_.wait(lock, [this] { return closing() || windowJobs_.size() < kMaximumWindowJobs; });
  windowJobs_.push_back(span_);
  windowChanged_.notify_all();
}

void InflatePass::RunWindows() {
  WindowMaker maker;
  for (;;) {
    OrderedPointer span;
    {
      std::unique_lock<std::mutex> lock(windowMutex_);
      windowChanged_.wait(lock, [this] { return closing() || !windowJobs_.empty(); });
      if (closing()) return;
      span = std::move(windowJobs_.front());
      windowJobs_.pop_front();
      windowChanged_.notify_all();
    }
    SparseWindow window = maker.Make(std::move(span->job));
    span->job = WindowJob();
    span->event.bytes = std::move(window.deflated);
    span->event.windowLength = window.length;
    Settle(span);
  }
}

void InflatePass::TellEnd() {
  // Everything before the end event must be out: windows (waited for by their place in `ordered_`) and both
  // lanes.
  auto item = std::make_shared<Ordered>(Event::Kind::kEnd, 2);
  item->event.compressedBitOffset = inputStart_;
  item->event.uncompressedOffset = produced_;
  item->event.threadSeconds = ThreadSeconds();
  item->event.bytes.resize(parameters_.sha512 ? 192 : 64);
  {
    std::lock_guard<std::mutex> lock(orderedMutex_);
    ordered_.push_back(item);
  }
  blobLane_->Mark([this, item] {
    const auto digest = blobSha_.Digest();
    if (blobHashed_ % parameters_.chunkBytes != 0) SealChunk(digest);
    std::copy(digest.begin(), digest.end(), item->event.bytes.begin());
    if (parameters_.sha512) blobSha512_.Finish(item->event.bytes.data() + 64);
    if (tarLane_->zeros() >= parameters_.lagBytes) {
      TellBlob(item->event);
      tarLane_->Defer();
    }
    Settle(item);
  });
  tarLane_->Mark([this, item] {
    const auto digest = tarSha_.Digest();
    std::copy(digest.begin(), digest.end(), item->event.bytes.begin() + 32);
    if (parameters_.sha512) tarSha512_.Finish(item->event.bytes.data() + 128);
    Settle(item);
  });
}

// The tar lane writes to its own part of the bytes.
void InflatePass::TellBlob(const Event& end) {
  Event blob(Event::Kind::kBlob);
  blob.uncompressedOffset = end.uncompressedOffset;
  blob.bytes.resize(end.bytes.size());
  std::copy_n(end.bytes.begin(), 32, blob.bytes.begin());
  if (parameters_.sha512) std::copy_n(end.bytes.begin() + 64, 64, blob.bytes.begin() + 64);
  sink_->Emit(std::move(blob));
}

// One thing less to wait for; what is complete at the front of the queue goes out. Nothing waits for a
// checkpoint: where there are many zeros the lanes are far behind, and readers want the spans.
void InflatePass::Settle(const OrderedPointer& item) {
  std::lock_guard<std::mutex> lock(orderedMutex_);
  item->pending--;
  for (auto next = ordered_.begin(); next != ordered_.end();) {
    if ((*next)->pending == 0) {
      sink_->Emit(std::move((*next)->event));
      next = ordered_.erase(next);
    } else if ((*next)->event.kind == Event::Kind::kCheckpoint) {
      ++next;
    } else {
      return;
    }
  }
}

void InflatePass::MakeCheckpoint(uint64_t bitOffset, bool atHeader) {
  if (parameters_.sha512) return;
  const uint64_t byteOffset = bitOffset / 8;
  // The byte with the first bit may have been the last one of a buffer that is with the lane already: next
  // time.
  if (byteOffset < inputStart_ + inputHashed_) return;
  lastCheckpoint_ = produced_;
  const size_t before = static_cast<size_t>(byteOffset - inputStart_);
  blobLane_->Add(input_.data + inputHashed_, before - inputHashed_, nullptr);
  inputHashed_ = before;

  struct Snapshots {
    SHA256_CTX blob;
    SHA256_CTX tar;
    std::vector<uint8_t> window;
    std::atomic<int> left{2};
  };
  auto snapshots = std::make_shared<Snapshots>();
  if (!atHeader) snapshots->window = CurrentWindow();
  auto item = std::make_shared<Ordered>(Event::Kind::kCheckpoint, 1);
  item->event.compressedBitOffset = bitOffset;
  item->event.uncompressedOffset = produced_;
  item->event.atHeader = atHeader;
  {
    std::lock_guard<std::mutex> lock(orderedMutex_);
    ordered_.push_back(item);
  }
  const auto taken = [this, item, snapshots, memberCrc = memberCrc_, memberBytes = memberBytes_,
                      zeroStart = zeros_.start()] {
    if (snapshots->left.fetch_sub(1) != 1) return;
    item->event.bytes = EncodeState(snapshots->blob, snapshots->tar, item->event, memberCrc, memberBytes,
                                    zeroStart, snapshots->window);
    Settle(item);
  };
  blobLane_->Mark([this, snapshots, taken] {
    snapshots->blob = blobSha_.context();
    taken();
  });
  tarLane_->Mark([this, snapshots, taken] {
    snapshots->tar = tarSha_.context();
    taken();
  });
}

std::vector<uint8_t> InflatePass::EncodeState(const SHA256_CTX& blob, const SHA256_CTX& tar,
                                              const Event& place, uint32_t memberCrc, uint64_t memberBytes,
                                              uint64_t zeroStart, const std::vector<uint8_t>& window) const {
  StateHead head = {};
  head.magic = stateMagic();
  head.version = kStateVersion;
  head.shaBytes = sizeof(SHA256_CTX);
  head.memberCrc = memberCrc;
  head.memberBytes = memberBytes;
  head.compressedBitOffset = place.compressedBitOffset;
  head.uncompressedOffset = place.uncompressedOffset;
  head.zeroStart = zeroStart;
  head.windowBytes = static_cast<uint32_t>(window.size());
  head.atHeader = place.atHeader ? 1 : 0;
  std::vector<uint8_t> state;
  const auto append = [&state](const void* data, size_t length) {
    const uint8_t* bytes = static_cast<const uint8_t*>(data);
    state.insert(state.end(), bytes, bytes + length);
  };
  append(&head, sizeof(head));
  append(&blob, sizeof(blob));
  append(&tar, sizeof(tar));
  append(window.data(), window.size());
  const uint32_t sum = static_cast<uint32_t>(crc32(0, state.data(), static_cast<uInt>(state.size())));
  append(&sum, sizeof(sum));
  return state;
}

bool InflatePass::Resume(uint64_t compressedBitOffset, uint64_t uncompressedOffset, const uint8_t* state,
                         size_t length) {
  StateHead head;
  uint32_t sum;
  if (length < sizeof(head) + sizeof(sum)) return false;
  std::memcpy(&head, state, sizeof(head));
  std::memcpy(&sum, state + length - sizeof(sum), sizeof(sum));
  if (head.magic != stateMagic() || head.version != kStateVersion || head.shaBytes != sizeof(SHA256_CTX))
    return false;
  if (head.windowBytes > kWindowBytes) return false;
  if (length != sizeof(head) + 2 * sizeof(SHA256_CTX) + head.windowBytes + sizeof(sum)) return false;
  if (sum != crc32(0, state, static_cast<uInt>(length - sizeof(sum)))) return false;
  if (head.compressedBitOffset != compressedBitOffset || head.uncompressedOffset != uncompressedOffset)
    return false;

  SHA256_CTX context;
  std::memcpy(&context, state + sizeof(head), sizeof(context));
  if (!IsAfter(context, compressedBitOffset / 8)) return false;
  blobSha_.set_context(context);
  std::memcpy(&context, state + sizeof(head) + sizeof(context), sizeof(context));
  if (!IsAfter(context, uncompressedOffset)) return false;
  tarSha_.set_context(context);
  if (!zeros_.Resume(uncompressedOffset, head.zeroStart)) return false;
  const uint8_t* window = state + sizeof(head) + 2 * sizeof(context);
  produced_ = uncompressedOffset;
  lastCheckpoint_ = produced_;
  inputStart_ = compressedBitOffset / 8;
  blobHashed_ = inputStart_;
  firstMember_ = false;
  BeginSpan(compressedBitOffset, head.atHeader != 0);
  if (head.atHeader != 0) {
    lastTrailerEnd_ = inputStart_;
    return true;
  }
  memberCrc_ = head.memberCrc;
  memberBytes_ = head.memberBytes;
  state_ = State::kPrime;
  resumedWindow_.assign(window, window + head.windowBytes);
  history_ = head.windowBytes;
  outputEnd_ = resumedWindow_.data() + history_;
  span_->job.window = resumedWindow_;
  span_->job.bit = static_cast<unsigned>(compressedBitOffset % 8);
  return true;
}

void InflatePass::HashBlob(const uint8_t* data, size_t length) {
  while (length > 0) {
    const uint64_t left = parameters_.chunkBytes - blobHashed_ % parameters_.chunkBytes;
    const size_t bytes = static_cast<size_t>(std::min<uint64_t>(left, length));
    blobSha_.Update(data, bytes);
    if (parameters_.sha512) blobSha512_.Update(data, bytes);
    blobHashed_ += bytes;
    data += bytes;
    length -= bytes;
    if (blobHashed_ % parameters_.chunkBytes == 0) SealChunk(blobSha_.ChainingValue());
  }
}

void InflatePass::HashTar(const uint8_t* data, size_t length) {
  tarSha_.Update(data, length);
  if (parameters_.sha512) tarSha512_.Update(data, length);
}

// The chunk that ends at blobHashed_.
void InflatePass::SealChunk(const std::array<uint8_t, 32>& seal) {
  Event event(Event::Kind::kChunk);
  event.slot = static_cast<uint32_t>((blobHashed_ - 1) / parameters_.chunkBytes);
  event.bytes.assign(seal.begin(), seal.end());
  sink_->Emit(std::move(event));
}

}  // namespace registryfs
