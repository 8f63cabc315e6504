// Reads that wait for spans which are being inflated, answered by the threads that inflate them, without Node
// and without a kernel, for the sanitizers: one end of a SOCK_SEQPACKET pair stands in for /dev/fuse. One
// thread does what JavaScript does: it parks reads, has their spans inflated, keeps few of those for long,
// gives up some of the reads.
#include <linux/fuse.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
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
constexpr uint64_t kFileBytes = kSpans * kSpanBytes;
constexpr size_t kKept = 4;
// Answers of so many fit in the socket: /dev/fuse never has its writers wait.
constexpr uint64_t kUnderWay = 8;

void Check(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "parked_stress: %s\n", what);
  std::exit(1);
}

// What threads give to one another.
template <typename T>
class Queue {
 public:
  void Push(T value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    values_.push_back(std::move(value));
    changed_.notify_one();
  }

  // False once it was ended.
  bool Pop(T* value) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return isEnded_ || !values_.empty(); });
    if (isEnded_) return false;
    *value = std::move(values_.front());
    values_.pop_front();
    return true;
  }

  void End() {
    const std::lock_guard<std::mutex> lock(mutex_);
    isEnded_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> values_;
  bool isEnded_ = false;
};

using Bytes = std::unique_ptr<std::vector<uint8_t>>;

struct Job {
  uint64_t index;
  uint64_t generation;
  Bytes bytes;
};

// What the main thread hears of: a read of the kernel, or a span that was inflated.
struct News {
  uint64_t unique = 0;
  uint64_t offset = 0;
  uint32_t size = 0;
  Job done = {};
};

struct Figures {
  uint64_t parked = 0;
  uint64_t answeredHere = 0;
  uint64_t givenUp = 0;
};

// src/fuse/fuse-server.ts, src/layer/span-source.ts and src/blob/memory-cache.ts, as far as they matter.
class Javascript {
 public:
  Javascript(ResidentSpans* spans, FuseChannel* channel, Queue<Job>* jobs)
      : spans_(spans), channel_(channel), jobs_(jobs) {}

  void Hear(News news) {
    if (news.unique != 0)
      Serve(news);
    else
      Complete(std::move(news.done));
    // As a layer fails and is read anew, or a file is closed and opened.
    if (random_() % 64 == 0) {
      spans_->Renew(kSpace);
      spans_->ShowUpTo(kSpace, 0);
    }
    if (random_() % 8 == 0) spans_->ShowUpTo(kSpace, kFileBytes);
    if (random_() % 64 == 0) spans_->CloseFile(kHandle);
    if (random_() % 8 == 0) spans_->OpenFile(kHandle, {kSpace, 0}, kFileBytes);
    if (random_() % 16 == 0 && !waiting_.empty()) GiveUp(waiting_.begin()->first);
  }

  // Nothing of it is published any more.
  void End() {
    while (!kept_.empty()) EvictOne();
  }

  const Figures& Counted() const { return figures_; }

 private:
  struct Waiting {
    bool isParked;
    std::set<uint64_t> missing;
  };

  void Serve(const News& read) {
    const bool isParked = channel_->Parked().Park(read.unique, kHandle, read.offset, read.size);
    figures_.parked += isParked;
    Waiting& waiting = waiting_[read.unique];
    waiting.isParked = isParked;
    const uint64_t end = std::min<uint64_t>(read.offset + read.size, kFileBytes);
    for (uint64_t index = read.offset / kSpanBytes; index * kSpanBytes < end; ++index) {
      if (kept_.count(index) > 0) continue;
      waiting.missing.insert(index);
      if (!inflating_.insert(index).second) continue;
      jobs_->Push({index, spans_->GenerationOf(kSpace),
                   std::make_unique<std::vector<uint8_t>>(kSpanBytes, uint8_t{0})});
    }
    if (waiting.missing.empty()) AnswerHere(read.unique);
  }

  void Complete(Job job) {
    const uint64_t index = job.index;
    inflating_.erase(index);
    if (random_() % 4 == 0) {
      spans_->Retract({kSpace, index * kSpanBytes});
      Scribble(&job.bytes);
    } else {
      while (kept_.size() >= kKept) EvictOne();
      spans_->Publish({kSpace, index * kSpanBytes}, job.bytes->data(), kSpanBytes);
      kept_[index] = std::move(job.bytes);
    }
    std::vector<uint64_t> whole;
    for (auto& [unique, waiting] : waiting_) {
      waiting.missing.erase(index);
      if (waiting.missing.empty()) whole.push_back(unique);
    }
    for (const uint64_t unique : whole) AnswerHere(unique);
  }

  void EvictOne() {
    auto victim = kept_.begin();
    std::advance(victim, random_() % kept_.size());
    spans_->Withdraw({kSpace, victim->first * kSpanBytes});
    Scribble(&victim->second);
    kept_.erase(victim);
  }

  // Whoever still reads it would see this.
  static void Scribble(Bytes* bytes) { std::fill((*bytes)->begin(), (*bytes)->end(), 0); }

  void GiveUp(uint64_t unique) {
    figures_.givenUp++;
    AnswerHere(unique);
  }

  // Once, if nobody has.
  void AnswerHere(uint64_t unique) {
    const auto waiting = waiting_.find(unique);
    const bool isOurs = !waiting->second.isParked || channel_->Parked().TakeBack(unique);
    waiting_.erase(waiting);
    if (!isOurs) return;
    figures_.answeredHere++;
    fuse_out_header answer = {sizeof(answer), -EINTR, unique};
    iovec part = {&answer, sizeof(answer)};
    const int error = channel_->Write(&part, 1);
    Check(error == 0 || error == EPIPE, "an answer is refused");
  }

  ResidentSpans* const spans_;
  FuseChannel* const channel_;
  Queue<Job>* const jobs_;
  std::map<uint64_t, Waiting> waiting_;
  std::set<uint64_t> inflating_;
  std::map<uint64_t, Bytes> kept_;
  std::mt19937 random_{3};
  Figures figures_;
};

// A mount, its pool and its main thread; what they do until it is closed.
class Daemon {
 public:
  explicit Daemon(int descriptor) {
    spans_->ShowUpTo(kSpace, kFileBytes);
    spans_->OpenFile(kHandle, {kSpace, 0}, kFileBytes);
    FuseChannel::Events events;
    events.onRequests = [this](std::vector<uint8_t> requests) { PassOn(requests); };
    events.onTouched = [](std::vector<ResidentSpans::Place>) {};
    events.onEnd = [](int) {};
    channel_ = std::make_unique<FuseChannel>(descriptor, events, spans_);
    javascript_ = std::make_unique<Javascript>(spans_.get(), channel_.get(), &jobs_);
    for (int i = 0; i < 2; ++i) pool_.emplace_back([this] { Inflate(); });
    main_ = std::thread([this] {
      News news;
      while (news_.Pop(&news)) javascript_->Hear(std::move(news));
    });
  }

  // While the pool goes on.
  void CloseChannel() {
    news_.End();
    main_.join();
    channel_->Close();
  }

  ~Daemon() {
    jobs_.End();
    for (std::thread& thread : pool_) thread.join();
    javascript_->End();
  }

  uint64_t Answers() const { return spans_->Answers(); }
  const Figures& Counted() const { return javascript_->Counted(); }

 private:
  void PassOn(const std::vector<uint8_t>& requests) {
    for (size_t at = 0; at < requests.size(); at += sizeof(fuse_in_header) + sizeof(fuse_read_in)) {
      fuse_in_header header;
      fuse_read_in read;
      std::memcpy(&header, requests.data() + at, sizeof(header));
      std::memcpy(&read, requests.data() + at + sizeof(header), sizeof(read));
      News news;
      news.unique = header.unique;
      news.offset = read.offset;
      news.size = read.size;
      news_.Push(std::move(news));
    }
  }

  void Inflate() {
    Job job;
    while (jobs_.Pop(&job)) {
      for (uint64_t i = 0; i < kSpanBytes; ++i) (*job.bytes)[i] = ByteAt(job.index * kSpanBytes + i);
      spans_->Offer({kSpace, job.index * kSpanBytes}, job.bytes->data(), kSpanBytes, job.generation);
      News news;
      news.done = std::move(job);
      news_.Push(std::move(news));
    }
  }

  const std::shared_ptr<ResidentSpans> spans_ = std::make_shared<ResidentSpans>();
  Queue<News> news_;
  Queue<Job> jobs_;
  std::unique_ptr<FuseChannel> channel_;
  std::unique_ptr<Javascript> javascript_;
  std::vector<std::thread> pool_;
  std::thread main_;
};

struct Read {
  uint64_t offset;
  uint32_t size;
  bool isAnswered;
};

std::vector<Read> SomeReads(uint64_t count) {
  std::mt19937 random(2);
  std::vector<Read> reads(count);
  for (Read& read : reads)
    read = {random() % kFileBytes, static_cast<uint32_t>(1 + random() % (2 * kSpanBytes)), false};
  return reads;
}

// One answer, the right one or a failure; whether it was the former.
bool TakeAnswer(int kernel, std::vector<Read>* reads) {
  static thread_local std::vector<uint8_t> answer(1 << 20);
  const ssize_t length = recv(kernel, answer.data(), answer.size(), 0);
  fuse_out_header header;
  std::memcpy(&header, answer.data(), sizeof(header));
  Check(length >= static_cast<ssize_t>(sizeof(header)) && header.len == length, "an answer is cut off");
  Check(header.unique >= 1 && header.unique <= reads->size() && !(*reads)[header.unique - 1].isAnswered,
        "an answer comes twice");
  Read& read = (*reads)[header.unique - 1];
  read.isAnswered = true;
  Check(header.error == 0 || header.error == -EINTR, "an answer is another error");
  if (header.error != 0) return false;
  const uint64_t expected = std::min<uint64_t>(read.size, kFileBytes - read.offset);
  Check(header.len == sizeof(header) + expected, "an answer has another length");
  for (uint64_t at = 0; at < expected; ++at)
    Check(answer[sizeof(header) + at] == ByteAt(read.offset + at), "an answer has other bytes");
  return true;
}

// Each read is answered once, by whoever may.
void Answers(uint64_t count) {
  int ends[2];
  Check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "no socketpair");
  std::vector<Read> reads = SomeReads(count);
  uint64_t good = 0;
  {
    Daemon daemon(ends[0]);
    for (uint64_t asked = 0, answered = 0; answered < count; ++answered) {
      for (; asked < count && asked < answered + kUnderWay; ++asked)
        Check(SendRead(ends[1], asked + 1, kHandle, reads[asked].offset, reads[asked].size), "send");
      good += TakeAnswer(ends[1], &reads);
    }
    daemon.CloseChannel();
    const Figures& counted = daemon.Counted();
    Check(good == daemon.Answers() && good + counted.answeredHere == count, "answers do not add up");
    Check(good > count / 20 && counted.answeredHere > count / 20, "one of the two ways was hardly taken");
    Check(counted.parked > count / 20 && counted.givenUp > 0, "nothing was parked, or given up");
    std::printf("parked: %llu reads, %llu answered by threads, %llu taken back\n",
                static_cast<unsigned long long>(counted.parked), static_cast<unsigned long long>(good),
                static_cast<unsigned long long>(counted.answeredHere));
  }
  close(ends[1]);
}

// Closed in the middle, while threads inflate: nobody writes to what was closed.
void Closings(int count) {
  for (int i = 0; i < count; ++i) {
    int ends[2];
    Check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "no socketpair");
    std::vector<Read> reads = SomeReads(kUnderWay);
    Daemon daemon(ends[0]);
    for (uint64_t asked = 0; asked < kUnderWay; ++asked)
      Check(SendRead(ends[1], asked + 1, kHandle, reads[asked].offset, reads[asked].size), "send");
    std::this_thread::sleep_for(std::chrono::microseconds(i * 37 % 1500));
    daemon.CloseChannel();
    // Most likely with the number that was closed.
    int others[2];
    Check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, others) == 0, "no socketpair");
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    char byte;
    Check(recv(others[0], &byte, 1, MSG_DONTWAIT) < 0 && recv(others[1], &byte, 1, MSG_DONTWAIT) < 0,
          "written to after the end");
    for (const int end : {ends[1], others[0], others[1]}) close(end);
  }
  std::printf("parked: %d closings\n", count);
}

}  // namespace

int main() {
  Answers(20'000);
  Closings(200);
  return 0;
}
