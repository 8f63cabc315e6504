#include "file_writer.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <string>
#include <vector>

namespace registryfs {

namespace {

class ReplaceFileWorker : public Napi::AsyncWorker {
 public:
  explicit ReplaceFileWorker(const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(info.Env()),
        deferred_(Napi::Promise::Deferred::New(info.Env())),
        temporary_(info[0].As<Napi::String>().Utf8Value()),
        path_(info[1].As<Napi::String>().Utf8Value()),
        durable_(info[3].As<Napi::Boolean>().Value()) {
    const auto parts = info[2].As<Napi::Array>();
    for (uint32_t i = 0; i < parts.Length(); ++i) {
      const auto part = parts.Get(i).As<Napi::Buffer<uint8_t>>();
      if (part.Length() > 0) parts_.push_back({part.Data(), part.Length()});
      references_.push_back(Napi::Persistent(part));
    }
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override { problem_ = Write(); }

  void OnOK() override { deferred_.Resolve(Napi::Number::New(Env(), problem_)); }

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

  Napi::Promise::Deferred deferred_;
  const std::string temporary_;
  const std::string path_;
  const bool durable_;
  std::vector<iovec> parts_;
  std::vector<Napi::Reference<Napi::Buffer<uint8_t>>> references_;
  int problem_ = 0;
};

}  // namespace

Napi::Value ReplaceFile(const Napi::CallbackInfo& info) {
  auto* worker = new ReplaceFileWorker(info);
  worker->Queue();
  return worker->promise();
}

}  // namespace registryfs
