// Reads of what is in memory, answered by the channel's threads, without Node and without a kernel, for the
// sanitizers: one end of a SOCK_SEQPACKET pair stands in for /dev/fuse. Spans come and go all the while as a
// small memory cache has them, in memory that is used for something else as soon as it was withdrawn.
#include <linux/fuse.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "../../native/fuse_channel.h"
#include "read_request.h"

using registryfs::FuseChannel;
using registryfs::ResidentSpans;

namespace {

constexpr uint64_t kSpace = 7;
constexpr uint64_t kHandle = 3;
constexpr uint64_t kSpanBytes = 4096;
constexpr uint64_t kSpans = 24;
constexpr uint64_t kSlots = 16;
// The file begins within the first span and ends within the last one.
constexpr uint64_t kFileStart = 1000;
constexpr uint64_t kFileBytes = kSpans * kSpanBytes - 2000;

void Check(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "resident_stress: %s\n", what);
  std::exit(1);
}

// What JavaScript does with its memory cache: at any time some spans are there, and none of them for long.
class Cache {
 public:
  explicit Cache(ResidentSpans* spans) : spans_(spans), slots_(kSlots), index_(kSlots, kSpans) {}

  void ReplaceOne(std::mt19937* random) {
    const size_t slot = (*random)() % kSlots;
    if (index_[slot] < kSpans) {
      spans_->Withdraw({kSpace, index_[slot] * kSpanBytes});
      // Whoever still read it would see this.
      std::fill(slots_[slot].begin(), slots_[slot].end(), 0);
    }
    const uint64_t wanted = (*random)() % kSpans;
    index_[slot] = std::count(index_.begin(), index_.end(), wanted) > 0 ? kSpans : wanted;
    if (index_[slot] == kSpans) return;
    slots_[slot].resize(kSpanBytes);
    for (uint64_t i = 0; i < kSpanBytes; ++i) slots_[slot][i] = ByteAt(wanted * kSpanBytes + i);
    spans_->Publish({kSpace, wanted * kSpanBytes}, slots_[slot].data(), kSpanBytes);
  }

 private:
  ResidentSpans* const spans_;
  std::vector<std::vector<uint8_t>> slots_;
  std::vector<uint64_t> index_;
};

// Each read is answered once: from memory with the right bytes, or passed on.
void Answers(uint64_t count) {
  int ends[2];
  Check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "no socketpair");
  auto spans = std::make_shared<ResidentSpans>();
  std::atomic<FuseChannel*> channel{nullptr};
  std::atomic<uint64_t> passedOn{0};
  std::atomic<uint64_t> touched{0};
  std::atomic<int> ended{0};
  FuseChannel::Events events;
  events.onRequests = [&](std::vector<uint8_t> requests) {
    while (channel == nullptr) std::this_thread::yield();
    for (size_t at = 0; at < requests.size(); at += sizeof(fuse_in_header) + sizeof(fuse_read_in)) {
      fuse_in_header header;
      std::memcpy(&header, requests.data() + at, sizeof(header));
      Check(header.len == sizeof(fuse_in_header) + sizeof(fuse_read_in), "a request is cut off");
      fuse_out_header answer = {sizeof(answer), -EIO, header.unique};
      iovec part = {&answer, sizeof(answer)};
      int error;
      while ((error = channel.load()->Write(&part, 1)) == EAGAIN) std::this_thread::yield();
      Check(error == 0, "an answer is refused");
      passedOn++;
    }
  };
  events.onTouched = [&](std::vector<ResidentSpans::Place> places) {
    for (const auto& place : places)
      Check(place.space == kSpace && place.offset % kSpanBytes == 0, "what was touched is no span");
    touched += places.size();
  };
  events.onEnd = [&](int) { ended++; };
  channel = new FuseChannel(ends[0], events, spans);
  spans->ShowUpTo(kSpace, kSpans * kSpanBytes);
  spans->OpenFile(kHandle, {kSpace, kFileStart}, kFileBytes);

  std::atomic<bool> stop{false};
  Cache cache(spans.get());
  std::mt19937 choice(1);
  // Whoever is slow to start, something is there.
  for (uint64_t i = 0; i < 4 * kSlots; ++i) cache.ReplaceOne(&choice);
  std::thread javascript([&, random = choice]() mutable {
    while (!stop) {
      cache.ReplaceOne(&random);
      if (random() % 8 == 0) spans->BeginEpoch();
      if (random() % 16 == 0) spans->CloseFile(kHandle);
      if (random() % 4 == 0) spans->OpenFile(kHandle, {kSpace, kFileStart}, kFileBytes);
      if (random() % 32 == 0) spans->ShowUpTo(kSpace, random() % 2 == 0 ? 0 : kSpans * kSpanBytes);
      if (random() % 4 == 0) spans->ShowUpTo(kSpace, kSpans * kSpanBytes);
    }
  });

  struct Read {
    uint64_t offset;
    uint32_t size;
    bool done;
  };
  std::vector<Read> reads(count);
  std::mt19937 random(2);
  for (Read& read : reads)
    read = {random() % kFileBytes, static_cast<uint32_t>(1 + random() % (3 * kSpanBytes)), false};
  std::thread kernel([&] {
    for (uint64_t i = 0; i < count; ++i)
      Check(SendRead(ends[1], i + 1, i % 64 == 0 ? 99 : kHandle, reads[i].offset, reads[i].size), "send");
  });
  std::vector<uint8_t> answer(1 << 20);
  uint64_t answered = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const ssize_t length = recv(ends[1], answer.data(), answer.size(), 0);
    fuse_out_header header;
    std::memcpy(&header, answer.data(), sizeof(header));
    Check(length >= static_cast<ssize_t>(sizeof(header)) && header.len == length, "an answer is cut off");
    Check(header.unique >= 1 && header.unique <= count && !reads[header.unique - 1].done,
          "an answer comes twice");
    Read& read = reads[header.unique - 1];
    read.done = true;
    if (header.error != 0) continue;
    answered++;
    const uint64_t expected = std::min<uint64_t>(read.size, kFileBytes - read.offset);
    Check(header.len == sizeof(header) + expected, "an answer has another length");
    for (uint64_t at = 0; at < expected; ++at)
      Check(answer[sizeof(header) + at] == ByteAt(kFileStart + read.offset + at),
            "an answer has other bytes");
  }
  kernel.join();
  stop = true;
  javascript.join();
  channel.load()->Close();
  Check(ended == 1, "the end was not told once");
  // The kernel's end has no answers left over for those that were passed on as well.
  Check(answered + passedOn == count && answered == spans->Answers(), "answers do not add up");
  Check(answered > count / 100 && passedOn > count / 100, "one of the two ways was hardly taken");
  Check(touched > 0 && touched <= 3 * answered + answered, "what was touched does not add up");
  std::printf("resident: %llu reads answered from memory, %llu passed on\n",
              static_cast<unsigned long long>(answered), static_cast<unsigned long long>(passedOn));
  delete channel.load();
  close(ends[1]);
}

// What may be shown, what is open, what lies side by side: as the table has it.
void Finds() {
  ResidentSpans spans;
  const std::vector<uint8_t> bytes(3 * kSpanBytes, 1);
  const auto finds = [&spans](uint64_t offset, size_t length) -> uint64_t {
    ResidentSpans::Found found(&spans);
    if (!spans.Find(kHandle, offset, length, &found)) return 0;
    uint64_t sum = 0;
    for (int i = 0; i < found.Count(); ++i) sum += found.Parts()[i].iov_len;
    return sum;
  };
  spans.Publish({kSpace, 0}, bytes.data(), kSpanBytes);
  spans.Publish({kSpace, 2 * kSpanBytes}, bytes.data(), kSpanBytes);
  spans.OpenFile(kHandle, {kSpace, 100}, 3 * kSpanBytes - 200);
  Check(finds(0, 10) == 0, "found, though nothing is shown");
  spans.ShowUpTo(kSpace, kSpanBytes);
  Check(finds(0, 10) == 10 && finds(kSpanBytes - 101, 1) == 1, "not found");
  Check(finds(kSpanBytes - 101, 2) == 0, "found what is not there");
  Check(finds(2 * kSpanBytes - 100, 10) == 0, "found what is not shown");
  spans.ShowUpTo(kSpace, 3 * kSpanBytes);
  Check(finds(2 * kSpanBytes - 100, 10) == 10 && finds(2 * kSpanBytes - 101, 10) == 0,
        "the edge is elsewhere");
  Check(finds(3 * kSpanBytes - 210, 100) == 10, "not cut off at the end of the file");
  Check(finds(3 * kSpanBytes - 200, 100) == 0 && finds(~uint64_t{0}, 100) == 0, "found beyond the end");
  spans.Publish({kSpace, kSpanBytes}, bytes.data(), kSpanBytes);
  Check(finds(0, 3 * kSpanBytes) == 3 * kSpanBytes - 200, "not put together");
  {
    ResidentSpans::Found first(&spans), second(&spans);
    spans.BeginEpoch();
    Check(spans.Find(kHandle, 0, 2 * kSpanBytes, &first) && first.touched.size() == 3, "not all is told of");
    Check(spans.Find(kHandle, 0, 2 * kSpanBytes, &second) && second.touched.empty(), "told of twice");
  }
  spans.Withdraw({kSpace, kSpanBytes});
  spans.Withdraw({kSpace, kSpanBytes});
  spans.Withdraw({kSpace + 1, 0});
  Check(finds(0, 2 * kSpanBytes) == 0 && finds(0, 10) == 10, "withdrawn, and found");
  spans.CloseFile(kHandle);
  Check(finds(0, 10) == 0, "closed, and found");
}

// What a thread has inflated is read until it is retracted, and stays when it was published; nothing of it
// once the space was renewed.
void Offers() {
  ResidentSpans spans;
  const std::vector<uint8_t> bytes(kSpanBytes, 1), others(kSpanBytes, 2);
  const ResidentSpans::Place place = {kSpace, 0};
  spans.ShowUpTo(kSpace, kSpanBytes);
  spans.OpenFile(kHandle, place, kSpanBytes);
  const auto first = [&spans]() -> int {
    ResidentSpans::Found found(&spans);
    return spans.Find(kHandle, 0, 1, &found) ? *static_cast<uint8_t*>(found.Parts()[0].iov_base) : 0;
  };
  uint64_t generation = spans.GenerationOf(kSpace);
  spans.Offer(place, bytes.data(), kSpanBytes, generation);
  Check(first() == 1, "offered, and not found");
  spans.Offer(place, others.data(), kSpanBytes, generation);
  Check(first() == 1, "took the place of what is there");
  spans.Retract(place);
  Check(first() == 0, "retracted, and found");
  spans.Offer(place, bytes.data(), kSpanBytes, generation);
  spans.Renew(kSpace);
  Check(first() == 0, "offered before a renewal, and found");
  spans.Offer(place, bytes.data(), kSpanBytes, generation);
  Check(first() == 0, "begun before a renewal, and found");
  generation = spans.GenerationOf(kSpace);
  spans.Offer(place, bytes.data(), kSpanBytes, generation);
  spans.Publish(place, bytes.data(), kSpanBytes);
  spans.Retract(place);
  spans.Renew(kSpace);
  Check(first() == 1, "published, and not found");
  spans.Publish(place, others.data(), kSpanBytes);
  Check(first() == 2, "did not take the place of what was there");
}

}  // namespace

int main() {
  Finds();
  Offers();
  Answers(40000);
  return 0;
}
