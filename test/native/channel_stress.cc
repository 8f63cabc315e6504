// The channel to the kernel without Node and without a kernel, for the sanitizers: one end of a
// SOCK_SEQPACKET pair stands in for /dev/fuse, as both carry one message per read and per write.
//
//   channel_stress         requests and answers from several threads, ends and closings at any time
//   channel_stress canary  does what the sanitizer that it was built with must find
#include <linux/fuse.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "../../native/fuse_channel.h"

using registryfs::FuseChannel;
using registryfs::ResidentSpans;

namespace {

void Check(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "channel_stress: %s\n", what);
  std::exit(1);
}

std::vector<uint8_t> Request(uint64_t unique, size_t bodyBytes) {
  fuse_in_header header = {};
  header.len = static_cast<uint32_t>(sizeof(header) + bodyBytes);
  header.opcode = FUSE_READ;
  header.unique = unique;
  std::vector<uint8_t> bytes(header.len, static_cast<uint8_t>(unique));
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

// Every request comes out whole and once; every answer arrives; the end comes once and last.
void RoundTrips(uint64_t count) {
  int ends[2];
  Check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "no socketpair");
  std::atomic<int> ended{0};
  std::vector<std::atomic<int>> seen(count + 1);
  FuseChannel* channel = nullptr;
  std::atomic<bool> isReady{false};
  FuseChannel::Events events;
  events.onRequests = [&](std::vector<uint8_t> requests) {
    while (!isReady) std::this_thread::yield();
    Check(ended == 0, "a request after the end");
    for (size_t at = 0; at < requests.size();) {
      fuse_in_header header;
      std::memcpy(&header, requests.data() + at, sizeof(header));
      Check(header.len >= sizeof(header) && at + header.len <= requests.size(), "a request is cut off");
      Check(header.unique >= 1 && header.unique <= count && seen[header.unique]++ == 0,
            "a request comes twice");
      Check(requests[at + header.len - 1] == static_cast<uint8_t>(header.unique) ||
                header.len == sizeof(header),
            "a request has other bytes");
      at += header.len;
      fuse_out_header answer = {sizeof(answer) + 8, 0, header.unique};
      iovec parts[] = {{&answer, sizeof(answer)}, {&header.unique, 8}};
      int error;
      // /dev/fuse never has its writers wait.
      while ((error = channel->Write(parts, 2)) == EAGAIN) std::this_thread::yield();
      Check(error == 0, "an answer is refused");
    }
  };
  events.onEnd = [&](int) { ended++; };
  channel = new FuseChannel(ends[0], events, nullptr);
  isReady = true;
  std::thread kernel([&] {
    for (uint64_t unique = 1; unique <= count; ++unique) {
      const std::vector<uint8_t> request = Request(unique, unique * 37 % 5000);
      Check(send(ends[1], request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()), "send");
    }
  });
  std::vector<bool> answered(count + 1);
  for (uint64_t i = 1; i <= count; ++i) {
    uint8_t answer[64];
    Check(recv(ends[1], answer, sizeof(answer), 0) == 24, "an answer has another length");
    uint64_t unique;
    std::memcpy(&unique, answer + 8, 8);
    Check(unique >= 1 && unique <= count && !answered[unique], "an answer comes twice");
    answered[unique] = true;
  }
  kernel.join();
  channel->Close();
  channel->Close();
  Check(ended == 1, "the end was not told once");
  delete channel;
  close(ends[1]);
}

// Closed while requests come, by its destructor or by Close.
void ClosedUnderLoad(int round) {
  int ends[2];
  Check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "no socketpair");
  std::atomic<int> ended{0};
  std::atomic<bool> stop{false};
  std::thread kernel([&] {
    const std::vector<uint8_t> request = Request(1, 100);
    while (!stop) {
      if (send(ends[1], request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        std::this_thread::yield();
    }
  });
  {
    FuseChannel::Events events;
    events.onRequests = [](std::vector<uint8_t>) {};
    events.onEnd = [&](int) { ended++; };
    FuseChannel channel(ends[0], events, nullptr);
    std::this_thread::sleep_for(std::chrono::microseconds(round * 50));
    if (round % 2 == 0) channel.Close();
  }
  Check(ended == 1, "the end was not told once");
  stop = true;
  kernel.join();
  close(ends[1]);
}

// Reads that are answered from memory gather nothing, so there may be no end of them: Close does not wait for
// those that are there.
void ClosedUnderAnswers() {
  int ends[2];
  Check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "no socketpair");
  const std::vector<uint8_t> bytes(16, 7);
  const auto resident = std::make_shared<ResidentSpans>();
  // One for each thread: both wait in onTouched.
  for (uint64_t file = 0; file < 2; ++file) {
    resident->ShowUpTo(file, bytes.size());
    resident->Publish({file, 0}, bytes.data(), bytes.size());
    resident->OpenFile(file, {file, 0}, bytes.size());
  }
  const auto ask = [&](uint64_t file) {
    fuse_in_header header = {};
    fuse_read_in asked = {};
    header.len = sizeof(header) + sizeof(asked);
    header.opcode = FUSE_READ;
    asked.fh = file;
    asked.size = 1;
    std::vector<uint8_t> request(header.len);
    std::memcpy(request.data(), &header, sizeof(header));
    std::memcpy(request.data() + sizeof(header), &asked, sizeof(asked));
    Check(send(ends[1], request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()), "send");
  };
  std::atomic<int> ended{0}, waiting{0};
  std::atomic<bool> goOn{false};
  FuseChannel::Events events;
  events.onRequests = [](std::vector<uint8_t>) {};
  events.onEnd = [&](int) { ended++; };
  events.onTouched = [&](std::vector<ResidentSpans::Place>) {
    waiting++;
    while (!goOn) std::this_thread::yield();
  };
  FuseChannel channel(ends[0], events, resident);
  for (uint64_t file = 0; file < 2; ++file) {
    ask(file);
    while (waiting <= static_cast<int>(file)) std::this_thread::yield();
  }
  for (int i = 0; i < 50; ++i) ask(0);
  std::thread release([&] {
    // Close has begun by then, or this shows nothing.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    goOn = true;
  });
  channel.Close();
  Check(ended == 1, "the end was not told once");
  Check(resident->Answers() <= 2, "reads were taken although it was closed");
  release.join();
  close(ends[1]);
}

void Canary() {
  // A race, and a leak.
  static int number = 0;
  std::thread other([] { number++; });
  number++;
  other.join();
  // Many: a register or the stack may remember one.
  static void* volatile last;
  for (int i = 0; i < 100; ++i) last = std::malloc(10);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "canary") == 0) {
    Canary();
    return 0;
  }
  RoundTrips(20000);
  for (int round = 0; round < 60; ++round) ClosedUnderLoad(round);
  ClosedUnderAnswers();
  std::printf("channel: 20000 requests answered, closed 61 times under load\n");
  return 0;
}
