// Questions for xattrs, answered by the channel's threads where there are none, without Node and without a
// kernel, for the sanitizers: one end of a SOCK_SEQPACKET pair stands in for /dev/fuse. All the while more
// inodes are said to be bare, as JavaScript does when it answers lookups.
#include <linux/fuse.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../../native/fuse_channel.h"

using registryfs::BareInodes;
using registryfs::FuseChannel;

namespace {

constexpr uint64_t kInodes = 4096;

void Check(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "bare_stress: %s\n", what);
  std::exit(1);
}

// What JavaScript shares with the threads.
class Shared {
 public:
  Shared() : words_(1 + kInodes / 64) {}

  BareInodes Bare() { return {Bytes(), words_.size() * 8}; }
  void Add(uint64_t inode) {
    const uint8_t bit = static_cast<uint8_t>(1 << inode % 8);
    __atomic_fetch_or(Bytes() + BareInodes::kHeadBytes + inode / 8, bit, __ATOMIC_RELAXED);
  }
  uint64_t Answers() { return __atomic_load_n(words_.data(), __ATOMIC_RELAXED); }

 private:
  uint8_t* Bytes() { return reinterpret_cast<uint8_t*>(words_.data()); }

  std::vector<uint64_t> words_;
};

// `body`: all that follows the header.
std::string Request(uint32_t opcode, uint64_t unique, uint64_t inode, const std::string& body) {
  fuse_in_header header = {};
  header.len = static_cast<uint32_t>(sizeof(header) + body.size());
  header.opcode = opcode;
  header.unique = unique;
  header.nodeid = inode;
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
}

// `name` with its NUL, where it has one.
std::string Question(uint32_t size, const std::string& name) {
  fuse_getxattr_in asked = {};
  asked.size = size;
  return std::string(reinterpret_cast<const char*>(&asked), sizeof(asked)) + name;
}

std::string Named(const char* name) { return std::string(name) + '\0'; }

// A channel whose requests that are passed on are answered with EIO.
class Mount {
 public:
  explicit Mount(BareInodes bare) {
    int ends[2];
    Check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "no socketpair");
    kernel_ = ends[1];
    FuseChannel::Events events;
    events.onRequests = [this](const std::vector<uint8_t>& requests) { Refuse(requests); };
    events.onTouched = [](const std::vector<registryfs::ResidentSpans::Place>&) {};
    events.onEnd = [](int) {};
    channel_ = new FuseChannel(ends[0], std::move(events), nullptr, bare);
  }
  ~Mount() {
    delete channel_.load();
    close(kernel_);
  }

  void Send(const std::string& request) {
    Check(send(kernel_, request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()), "send");
  }
  fuse_out_header Receive() {
    fuse_out_header header;
    Check(recv(kernel_, &header, sizeof(header), 0) == sizeof(header) && header.len == sizeof(header),
          "an answer has another length");
    return header;
  }
  // Whatever was counted has been counted then.
  void Close() { channel_.load()->Close(); }
  uint64_t PassedOn() const { return passedOn_; }

 private:
  void Refuse(const std::vector<uint8_t>& requests) {
    while (channel_ == nullptr) std::this_thread::yield();
    for (size_t at = 0; at < requests.size();) {
      fuse_in_header header;
      std::memcpy(&header, requests.data() + at, sizeof(header));
      Check(header.len >= sizeof(header) && at + header.len <= requests.size(), "a request is cut off");
      at += header.len;
      fuse_out_header answer = {sizeof(answer), -EIO, header.unique};
      const iovec part = {&answer, sizeof(answer)};
      int error;
      while ((error = channel_.load()->Write(&part, 1)) == EAGAIN) std::this_thread::yield();
      Check(error == 0, "an answer is refused");
      passedOn_++;
    }
  }

  int kernel_;
  std::atomic<FuseChannel*> channel_{nullptr};
  std::atomic<uint64_t> passedOn_{0};
};

// Which are answered here, one by one: ENODATA, or the EIO of whoever they were passed on to.
void Questions() {
  Shared shared;
  shared.Add(9);
  Mount mount(shared.Bare());
  uint64_t unique = 0;
  const auto ask = [&](uint64_t inode, const std::string& body, uint32_t opcode = FUSE_GETXATTR) {
    mount.Send(Request(opcode, ++unique, inode, body));
    const fuse_out_header header = mount.Receive();
    Check(header.unique == unique, "an answer to something else");
    return header.error == -ENODATA;
  };
  for (const char* name : {"security.capability", "security.selinux", "system.posix_acl_access",
                           "trusted.overlay.opaque", "security.", "system.\xff"})
    for (const uint32_t size : {0u, 1u, 255u, 65536u}) {
      Check(ask(9, Question(size, Named(name))), "a bare inode is not answered for");
      for (const uint64_t inode : {uint64_t{1}, uint64_t{8}, uint64_t{10}, kInodes + 9, ~uint64_t{0}})
        Check(!ask(inode, Question(size, Named(name))), "an inode is taken for a bare one");
    }
  for (const char* name : {"user.registryfs.image", "user.x", "", "security", "system", "Security.x",
                           "xsecurity.x", "sys", "trusted"})
    Check(!ask(9, Question(0, Named(name))), "a name that is JavaScript's");
  Check(!ask(9, Question(0, "security.capability")), "a name without an end");
  Check(!ask(9, Question(0, "")) && !ask(9, std::string(7, '\0')) && !ask(9, ""),
        "a request that is cut off");
  Check(ask(9, Question(0, Named("security.x") + "more")), "a name ends at its NUL");
  Check(!ask(9, Question(0, Named("security.x")), FUSE_LISTXATTR), "another request");
  Check(!ask(9, Question(0, Named("security.x")), FUSE_GETATTR), "another request");
  mount.Close();
  Check(shared.Answers() + mount.PassedOn() == unique, "answers do not add up");
  // Memory that is none.
  std::vector<uint64_t> small(2, ~uint64_t{0});
  uint8_t* const bytes = reinterpret_cast<uint8_t*>(small.data());
  Check(!BareInodes(bytes, 8).Has(1) && !BareInodes(bytes + 1, 15).Has(1) && !BareInodes(nullptr, 0).Has(1),
        "bits that are not there");
  Check(BareInodes(bytes, 9).Has(7) && !BareInodes(bytes, 9).Has(8), "bits end elsewhere");
}

// Each question is answered once, and ENODATA only where the inode was said to be bare.
void Answers(uint64_t count) {
  Shared shared;
  Mount mount(shared.Bare());
  // Odd ones never are bare; the others not before this is past them.
  std::atomic<uint64_t> reached{0};
  std::thread javascript([&] {
    for (uint64_t inode = 0; inode < kInodes; inode += 2) {
      reached = inode + 1;
      shared.Add(inode);
      if (inode % 64 == 0) std::this_thread::yield();
    }
  });
  std::vector<uint64_t> inodes(count + 1);
  std::mt19937 random(1);
  for (uint64_t& inode : inodes) inode = random() % kInodes;
  std::thread kernel([&] {
    const std::string body = Question(0, Named("security.selinux"));
    for (uint64_t unique = 1; unique <= count; ++unique)
      mount.Send(Request(FUSE_GETXATTR, unique, inodes[unique], body));
  });
  std::vector<bool> done(count + 1);
  uint64_t answered = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const fuse_out_header header = mount.Receive();
    Check(header.unique >= 1 && header.unique <= count && !done[header.unique], "an answer comes twice");
    done[header.unique] = true;
    // A socket may refuse one when it is full, which is passed on then.
    if (header.error != -ENODATA) continue;
    answered++;
    Check(inodes[header.unique] % 2 == 0 && inodes[header.unique] < reached, "an answer is wrong");
  }
  kernel.join();
  javascript.join();
  mount.Close();
  Check(answered == shared.Answers() && answered + mount.PassedOn() == count, "answers do not add up");
  Check(answered > count / 100 && mount.PassedOn() > count / 100, "one of the two ways was hardly taken");
  std::printf("bare: %llu questions answered, %llu passed on\n", static_cast<unsigned long long>(answered),
              static_cast<unsigned long long>(mount.PassedOn()));
}

}  // namespace

int main() {
  Questions();
  Answers(40000);
  return 0;
}
