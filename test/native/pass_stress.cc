// The addon's threads without Node, whose own races and leaks would drown ours in ThreadSanitizer and
// LeakSanitizer: passes that run to the end, fail, resume and are closed at random moments.
// scripts/test-native-sanitized.sh.
#include <sys/resource.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "../../native/copy_pass.h"
#include "../../native/hash_lane.h"
#include "../../native/inflate_pass.h"
#include "../../native/span_inflater.h"
#include "../../native/sparse_block.h"
#include "../../native/zstd_frames.h"
#include "../../native/zstd_pass.h"
#include "pass_consumer.h"

namespace {

using registryfs::Event;
using Bytes = std::vector<uint8_t>;

void Require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "pass_stress: %s\n", what);
  std::abort();
}

Bytes SomeData(size_t length, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes data(length);
  for (size_t i = 0; i < length; ++i) {
    const bool copy = i > 20000 && (i >> 12) % 3 != 0;
    data[i] =
        copy ? data[i - 20000 + (i >> 8) % 7] : static_cast<uint8_t>(random() & ((i >> 15) % 2 ? 255 : 15));
  }
  // Zeros take no slots: the threads are far apart behind these.
  std::fill(data.begin() + 400000, data.begin() + 900000, uint8_t{0});
  return data;
}

Bytes Gzip(const Bytes& data) {
  z_stream stream = {};
  deflateInit2(&stream, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  Bytes blob(deflateBound(&stream, data.size()));
  stream.next_in = const_cast<uint8_t*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = blob.data();
  stream.avail_out = static_cast<uInt>(blob.size());
  Require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "deflate");
  blob.resize(blob.size() - stream.avail_out);
  deflateEnd(&stream);
  return blob;
}

// A small frame, one that is longer than the longest span, and small ones again.
Bytes Zstd(const Bytes& data) {
  Bytes blob;
  const size_t ends[] = {100000, 900000, 1000000, 1100000, 1200000, 1300000, data.size()};
  size_t start = 0;
  for (const size_t end : ends) {
    Bytes frame(ZSTD_compressBound(end - start));
    const size_t length = ZSTD_compress(frame.data(), frame.size(), data.data() + start, end - start, 1);
    Require(!ZSTD_isError(length), "compress");
    blob.insert(blob.end(), frame.begin(), frame.begin() + static_cast<ptrdiff_t>(length));
    start = end;
  }
  return blob;
}

// Takes what comes at once, on whichever thread, and counts the points.
class Counter : public registryfs::EventSink {
 public:
  void Emit(Event event) override {
    if (event.kind == Event::Kind::kBlock && !event.zero) pass->ReleaseSlot(event.slot);
    if (event.kind != Event::Kind::kCut) return;
    std::lock_guard<std::mutex> lock(mutex_);
    ++cuts_;
    changed_.notify_all();
  }
  void Wait(size_t cuts) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return cuts_ >= cuts; });
  }
  size_t cuts() {
    std::lock_guard<std::mutex> lock(mutex_);
    return cuts_;
  }

  registryfs::InflatePass* pass = nullptr;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t cuts_ = 0;
};

// As if the thread that makes windows were the slowest one.
class WithoutWindows : public registryfs::InflatePass {
 public:
  using InflatePass::InflatePass;
  ~WithoutWindows() override { Close(); }
  void Start() {
    BeginSpan(0, true);
    blobLane_ = std::make_unique<registryfs::HashLane>(
        [this](const uint8_t* data, size_t length) { HashBlob(data, length); });
    tarLane_ = std::make_unique<registryfs::HashLane>(
        [this](const uint8_t* data, size_t length) { HashTar(data, length); });
    Require(blobLane_->Start() == 0 && tarLane_->Start() == 0 && inflateThread_.Start([this] { Run(); }) == 0,
            "no thread to be had");
  }
};

void WaitForWindows(const Bytes& blob) {
  constexpr size_t kSlotBytes = 48 << 10;
  std::vector<Bytes> slots(3, Bytes(registryfs::kSlotHeadBytes + kSlotBytes + registryfs::kSlotTailBytes));
  registryfs::PassParameters parameters = {4 << 10, 1, 256 << 10, 200 << 10, 100000, {}, kSlotBytes};
  for (Bytes& slot : slots) parameters.slots.push_back(slot.data() + registryfs::kSlotHeadBytes);
  Counter counter;
  WithoutWindows pass(parameters, &counter);
  counter.pass = &pass;
  pass.Start();
  pass.Push(blob.data(), blob.size());
  pass.Finish();
  // 16 windows are waited for; the first span has none.
  counter.Wait(17);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  pass.Close();
  Require(counter.cuts() == 17, "windows to be made have no bound");
}

enum class Codec { kGzip, kGzipByZlib, kZstd, kNone };

std::unique_ptr<registryfs::InflatePass> Open(Codec codec, const registryfs::PassParameters& parameters,
                                              registryfs::EventSink* sink) {
  if (codec == Codec::kZstd) return std::make_unique<registryfs::ZstdPass>(parameters, sink);
  if (codec == Codec::kNone) return std::make_unique<registryfs::CopyPass>(parameters, sink);
  return std::make_unique<registryfs::InflatePass>(parameters, sink);
}

struct Outcome {
  bool ended = false;
  bool failed = false;
  Bytes output;
  std::vector<Event> spans;
  std::vector<Event> checkpoints;
  Bytes proof;
};

// `closeAfter`: events, after which the pass is closed whatever it does.
Outcome Run(Codec codec, const Bytes& blob, size_t pieceBytes, size_t closeAfter,
            const Event* resume = nullptr) {
  constexpr size_t kSlotBytes = 48 << 10;
  std::vector<Bytes> slots(3, Bytes(registryfs::kSlotHeadBytes + kSlotBytes + registryfs::kSlotTailBytes));
  registryfs::PassParameters parameters = {64 << 10, 4 << 10, 256 << 10, 200 << 10, 100000, {}, kSlotBytes};
  for (Bytes& slot : slots) parameters.slots.push_back(slot.data() + registryfs::kSlotHeadBytes);
  registryfs::PassConsumer consumer;
  parameters.zlib = codec == Codec::kGzipByZlib;
  // Two more threads; no checkpoints then.
  parameters.sha512 = resume == nullptr && pieceBytes % 3 == 0;
  const std::unique_ptr<registryfs::InflatePass> pass = Open(codec, parameters, &consumer);
  size_t offset = 0;
  if (resume != nullptr) {
    Require(pass->Resume(resume->compressedBitOffset, resume->uncompressedOffset, resume->bytes.data(),
                         resume->bytes.size()),
            "a checkpoint does not resume");
    offset = resume->compressedBitOffset / 8;
  }
  pass->Start();
  Outcome outcome;
  const auto push = [&] {
    if (offset >= blob.size()) return pass->Finish();
    const size_t bytes = std::min(pieceBytes, blob.size() - offset);
    pass->Push(blob.data() + offset, bytes);
    offset += bytes;
  };
  push();
  push();
  for (size_t count = 0; count < closeAfter && !outcome.ended && !outcome.failed; ++count) {
    Event event = consumer.Next();
    switch (event.kind) {
      case Event::Kind::kBlock: {
        if (event.zero) {
          outcome.output.resize(outcome.output.size() + event.length);
          break;
        }
        const uint8_t* data = slots[event.slot].data() + registryfs::kSlotHeadBytes;
        outcome.output.insert(outcome.output.end(), data, data + event.length);
        pass->ReleaseSlot(event.slot);
        break;
      }
      case Event::Kind::kConsumed:
        push();
        break;
      case Event::Kind::kSpan:
        outcome.spans.push_back(std::move(event));
        break;
      case Event::Kind::kCheckpoint:
        outcome.checkpoints.push_back(std::move(event));
        break;
      case Event::Kind::kEnd:
        outcome.ended = true;
        outcome.proof = event.bytes;
        break;
      case Event::Kind::kFailure:
        outcome.failed = true;
        break;
      default:
        break;
    }
  }
  pass->Close();
  return outcome;
}

void DecodeSpans(Codec codec, const Bytes& blob, const Bytes& data, const std::vector<Event>& spans) {
  for (const Event& span : spans) {
    Bytes target(span.length);
    const size_t start = span.compressedBitOffset / 8;
    const uint8_t* input = blob.data() + start;
    if (codec == Codec::kNone) {
      std::copy(input, input + span.length, target.begin());
    } else if (span.atHeader) {
      Require(registryfs::DecodeZstdSpan(input, span.compressedBitEnd / 8 - start, 0, target.data(),
                                         target.size()) == nullptr,
              "a span of zstd does not decode");
    } else {
      continue;
    }
    Require(std::equal(target.begin(), target.end(),
                       data.begin() + static_cast<ptrdiff_t>(span.uncompressedOffset)),
            "a span is wrong");
  }
}

void InflateSpans(const Bytes& blob, const Bytes& data, const std::vector<Event>& spans, bool zlib) {
  registryfs::SpanInflater inflater;
  for (const Event& span : spans) {
    Bytes target(span.length);
    const size_t start = span.compressedBitOffset / 8;
    const registryfs::SpanJob job = {blob.data() + start,
                                     (span.compressedBitEnd + 7) / 8 - start,
                                     static_cast<unsigned>(span.compressedBitOffset % 8),
                                     span.atHeader,
                                     span.bytes.data(),
                                     span.bytes.size(),
                                     span.windowLength,
                                     0,
                                     target.data(),
                                     target.size(),
                                     true,
                                     span.crc32,
                                     zlib};
    Require(inflater.Inflate(job) == nullptr, "a span does not inflate");
    Require(std::equal(target.begin(), target.end(),
                       data.begin() + static_cast<ptrdiff_t>(span.uncompressedOffset)),
            "a span is wrong");
  }
}

// A sparse block is handed on whole while nothing before it is hashed, and is hashed in its place; there is
// an end to what is copied.
void CopySparseBlocks() {
  constexpr size_t kBlockBytes = 1 << 20;
  Bytes block(kBlockBytes);
  std::fill(block.begin() + 5000, block.begin() + 70000, uint8_t{7});
  block[kBlockBytes - 1] = 9;
  std::mutex gate;
  Bytes hashed;
  int niceness = 0;
  registryfs::HashLane lane([&](const uint8_t* data, size_t length) {
    const std::lock_guard<std::mutex> lock(gate);
    niceness = getpriority(PRIO_PROCESS, 0);
    hashed.insert(hashed.end(), data, data + length);
  });
  Require(lane.Start() == 0, "no thread to be had");
  size_t blocks = 0;
  {
    const std::lock_guard<std::mutex> closed(gate);
    for (;; ++blocks) {
      registryfs::ZeroScanner scanner;
      scanner.Add(block.data(), kBlockBytes);
      const registryfs::SparseBlock sparse(scanner.Take(), 0, kBlockBytes);
      if (!sparse.Reserve(&lane)) break;
      Bytes lent = block;
      sparse.AddTo(&lane, lent.data());
      std::fill(lent.begin(), lent.end(), uint8_t{1});
    }
  }
  Require(blocks > 30 && blocks < 100, "no end to what is copied, or none of it");
  const auto wait = [&lane] {
    std::promise<void> done;
    lane.Mark([&] { done.set_value(); });
    done.get_future().wait();
  };
  wait();
  const int usual = getpriority(PRIO_PROCESS, 0);
  Require(niceness == usual, "a hash that somebody waits for makes way");
  Require(hashed.size() == blocks * kBlockBytes, "not all of a sparse block is hashed");
  for (size_t i = 0; i < blocks; ++i)
    Require(std::equal(block.begin(), block.end(), hashed.begin() + static_cast<ptrdiff_t>(i * kBlockBytes)),
            "a sparse block is hashed wrongly");
  registryfs::ZeroScanner scanner;
  std::fill(block.begin(), block.begin() + kBlockBytes / 4, uint8_t{7});
  scanner.Add(block.data(), kBlockBytes);
  Require(!registryfs::SparseBlock(scanner.Take(), 0, kBlockBytes).Reserve(&lane),
          "a block of data is copied");
  lane.Defer();
  lane.AddZeros(1);
  wait();
  Require(niceness == std::min(19, usual + 10), "a hash that nobody waits for does not make way");
  Require(getpriority(PRIO_PROCESS, 0) == usual, "others make way too");
}

}  // namespace

int main(int argc, char**) {
#ifdef PASS_STRESS_CANARY
  // Is the sanitizer there? With an argument: a race, and a leak.
  if (argc > 1) {
    static int raced = 0;
    std::thread other([] { ++raced; });
    ++raced;
    other.join();
    static volatile int* leaked = new int[10];
    leaked = nullptr;
    return raced == 2 ? 0 : 1;
  }
#endif
  CopySparseBlocks();
  const Bytes data = SomeData(1500000, 1);
  for (const Codec codec : {Codec::kGzip, Codec::kGzipByZlib, Codec::kZstd, Codec::kNone}) {
    const bool gzip = codec == Codec::kGzip || codec == Codec::kGzipByZlib;
    const Bytes blob = gzip ? Gzip(data) : codec == Codec::kZstd ? Zstd(data) : data;
    const Outcome whole = Run(codec, blob, 50000, SIZE_MAX);
    Require(whole.ended && whole.output == data, "the output is wrong");
    Require(whole.spans.size() > 5, "no spans");
    Require(whole.checkpoints.size() > 2, "no checkpoints");
    const auto readSpans = [&] {
      if (gzip) return InflateSpans(blob, data, whole.spans, codec == Codec::kGzipByZlib);
      DecodeSpans(codec, blob, data, whole.spans);
    };
    std::thread other(readSpans);
    readSpans();
    other.join();
    for (const Event& checkpoint : whole.checkpoints) {
      const Outcome rest = Run(codec, blob, 30000, SIZE_MAX, &checkpoint);
      Require(rest.ended && rest.proof == whole.proof, "a resumed pass ends otherwise");
    }
    Require(Run(codec, blob, 60000, SIZE_MAX).ended, "sha512 beside sha256 does not end");
    Bytes damaged = blob;
    damaged[damaged.size() - 7] ^= 1;
    if (codec != Codec::kNone) {
      // zstd's own checksum is not in these frames: it fails where the last one is cut off.
      if (codec == Codec::kZstd) damaged.resize(damaged.size() - 7);
      Require(Run(codec, damaged, 50000, SIZE_MAX).failed, "no failure");
    }
    if (codec == Codec::kGzip) WaitForWindows(blob);
    for (size_t events = 0; events < 100; ++events)
      Run(codec, events % 2 ? damaged : blob, 20000 + 500 * events, events);
  }
  std::puts("pass_stress: well");
  return 0;
}
