#include "file_writer.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "blocking_verb.h"

namespace registryfs {

namespace {

class ReplaceFileVerb : public BlockingVerb {
 public:
  ReplaceFileVerb(Napi::Env env, Arguments& arguments)
      : BlockingVerb(env, arguments[4].Keep()),
        temporary_(arguments[0].Text()),
        path_(arguments[1].Text()),
        durable_(arguments[3].Flag()) {
    const Argument parts = arguments[2];
    const uint32_t count = parts.Count();
    for (uint32_t i = 0; i < count; ++i) {
      const Argument part = parts.At(i);
      const Argument::Bytes bytes = part.Data();
      if (bytes.length > 0) parts_.push_back({bytes.data, bytes.length});
      references_.push_back(part.Pin());
    }
  }

  void Execute() override { problem_ = Write(); }

 protected:
  napi_value Answer() override { return Napi::Number::New(Env(), problem_); }

 private:
  int Write() {
    const int descriptor = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0) return errno;
    int problem = WriteParts(descriptor);
    if (problem == 0 && durable_ && fdatasync(descriptor) != 0) problem = errno;
    if (close(descriptor) != 0 && problem == 0) problem = errno;
    if (problem == 0 && rename(temporary_.c_str(), path_.c_str()) != 0) problem = errno;
    if (problem != 0) unlink(temporary_.c_str());
    return problem;
  }

  int WriteParts(int descriptor) {
    for (size_t first = 0; first < parts_.size();) {
      const size_t count = std::min<size_t>(parts_.size() - first, IOV_MAX);
      const ssize_t written = writev(descriptor, &parts_[first], static_cast<int>(count));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno;
      size_t bytes = static_cast<size_t>(written);
      while (first < parts_.size() && bytes >= parts_[first].iov_len) bytes -= parts_[first++].iov_len;
      if (bytes == 0) continue;
      parts_[first].iov_base = static_cast<uint8_t*>(parts_[first].iov_base) + bytes;
      parts_[first].iov_len -= bytes;
    }
    return 0;
  }

  const std::string temporary_;
  const std::string path_;
  const bool durable_;
  std::vector<iovec> parts_;
  std::vector<Napi::ObjectReference> references_;
  int problem_ = 0;
};

}  // namespace

Napi::Value ReplaceFile(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  auto verb = std::make_unique<ReplaceFileVerb>(info.Env(), arguments);
  if (arguments.AreWhole()) verb.release()->Queue();
  return info.Env().Undefined();
}

}  // namespace registryfs
