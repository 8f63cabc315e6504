#include "fuse_mount.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <vector>

extern char** environ;

namespace registryfs {

namespace {
// For all that the helper does: it can hang where its mount point is on another file system that does.
constexpr auto kHelperTime = std::chrono::seconds(10);
// Then it is killed, which it hears unless it sleeps in the kernel.
constexpr auto kKillTime = std::chrono::seconds(1);
constexpr size_t kMessageBytes = 4096;

using Clock = std::chrono::steady_clock;

// For poll(2).
int MillisecondsUntil(Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::max<int64_t>(left, 0));
}

// Whether there is something to read in time. A signal that this thread happens to take says nothing.
bool WaitFor(int descriptor, Clock::time_point end) {
  pollfd waiting = {descriptor, POLLIN, 0};
  int found;
  do {
    found = poll(&waiting, 1, MillisecondsUntil(end));
  } while (found < 0 && errno == EINTR);
  return found > 0;
}

// A descriptor sent over a Unix socket; -1 when none came in time.
int ReceiveDescriptor(int socket, Clock::time_point end) {
  if (!WaitFor(socket, end)) return -1;
  char byte;
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0) return -1;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return -1;
  int descriptor;
  std::memcpy(&descriptor, CMSG_DATA(header), sizeof(descriptor));
  return descriptor;
}

std::string ReadAll(int pipe, Clock::time_point end) {
  std::string text;
  char buffer[512];
  while (text.size() < kMessageBytes && WaitFor(pipe, end)) {
    const ssize_t length = read(pipe, buffer, sizeof(buffer));
    if (length <= 0) break;
    text.append(buffer, static_cast<size_t>(length));
  }
  return text;
}

// Whether the child has ended in time; it is gone then, and its number free for others.
bool HasEnded(pid_t child, Clock::time_point end) {
  for (;;) {
    const pid_t ended = waitpid(child, nullptr, WNOHANG);
    if (ended == child || (ended < 0 && errno != EINTR)) return true;
    if (Clock::now() >= end) return false;
    poll(nullptr, 0, 5);
  }
}

MountResult MountByHelper(const MountRequest& request) {
  int sockets[2];
  int output[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return {-1, errno, "helper", ""};
  if (pipe2(output, O_CLOEXEC) != 0) {
    const int error = errno;
    close(sockets[0]);
    close(sockets[1]);
    return {-1, error, "helper", ""};
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output[1], 2);
  constexpr int kCommunication = 3;
  posix_spawn_file_actions_adddup2(&actions, sockets[1], kCommunication);
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "_FUSE_COMMFD", 12) != 0 && std::strncmp(*variable, "LC_ALL=", 7) != 0) {
      variables.push_back(*variable);
    }
  }
  variables.push_back("_FUSE_COMMFD=" + std::to_string(kCommunication));
  variables.push_back("LC_ALL=C");
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  std::string name = "fusermount3";
  std::string option = "-o";
  std::string options = request.helperOptions;
  std::string end = "--";
  std::string mountPoint = request.mountPoint;
  char* arguments[] = {name.data(), option.data(), options.data(), end.data(), mountPoint.data(), nullptr};
  pid_t child = -1;
  int error = 0;
  // fusermount3 is looked for first; fuse2's own speaks the same.
  for (const char* program : {"fusermount3", "fusermount"}) {
    name = program;
    arguments[0] = name.data();
    error = posix_spawnp(&child, program, &actions, nullptr, arguments, environment.data());
    if (error == 0) break;
  }
  posix_spawn_file_actions_destroy(&actions);
  close(sockets[1]);
  close(output[1]);
  MountResult result = {-1, error, "helper", ""};
  if (error == 0) {
    const auto end = Clock::now() + kHelperTime;
    result.message = ReadAll(output[0], end);
    result.descriptor = ReceiveDescriptor(sockets[0], end);
    if (!HasEnded(child, end)) {
      kill(child, SIGKILL);
      HasEnded(child, Clock::now() + kKillTime);
      if (result.descriptor < 0) result.message += name + " has not answered for 10 s";
    }
  }
  close(sockets[0]);
  close(output[0]);
  return result;
}

}  // namespace

MountResult MountFuse(const MountRequest& request) {
  const int descriptor = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return {-1, errno, "open", ""};
  char common[160];
  snprintf(common, sizeof(common), "fd=%d,rootmode=%o,user_id=%u,group_id=%u", descriptor, S_IFDIR, getuid(),
           getgid());
  const std::string options =
      request.kernelOptions.empty() ? common : std::string(common) + "," + request.kernelOptions;
  if (mount(request.source.c_str(), request.mountPoint.c_str(), "fuse.registryfs",
            static_cast<unsigned long>(request.flags), options.c_str()) == 0) {
    return {descriptor, 0, "mount", ""};
  }
  const int error = errno;
  close(descriptor);
  if (error == EPERM && getuid() != 0) return MountByHelper(request);
  return {-1, error, "mount", ""};
}

}  // namespace registryfs
