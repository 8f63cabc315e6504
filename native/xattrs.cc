#include "xattrs.h"

#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace registryfs {

namespace {

class ReadXattrsWorker : public Napi::AsyncWorker {
 public:
  explicit ReadXattrsWorker(const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(info.Env()),
        deferred_(Napi::Promise::Deferred::New(info.Env())),
        limit_(static_cast<size_t>(info[1].As<Napi::Number>().DoubleValue())) {
    const auto path = info[0].As<Napi::Buffer<char>>();
    path_.assign(path.Data(), path.Length());
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override { problem_ = Read(); }

  void OnOK() override {
    if (problem_ != 0) {
      deferred_.Resolve(Napi::Number::New(Env(), problem_));
      return;
    }
    auto list = Napi::Array::New(Env(), parts_.size());
    for (uint32_t i = 0; i < parts_.size(); ++i)
      list.Set(i, Napi::Buffer<char>::Copy(Env(), parts_[i].data(), parts_[i].size()));
    deferred_.Resolve(list);
  }

 private:
  int Read() {
    std::vector<char> names(limit_);
    const ssize_t length = llistxattr(path_.c_str(), names.data(), names.size());
    // A file system without them has none.
    if (length < 0) return errno == ENOTSUP ? 0 : errno;
    std::vector<char> value(limit_);
    for (const char* name = names.data(); name < names.data() + length; name += std::strlen(name) + 1) {
      const ssize_t bytes = lgetxattr(path_.c_str(), name, value.data(), value.size());
      // Taken away meanwhile, or not for us.
      if (bytes < 0 && (errno == ENODATA || errno == EPERM || errno == EACCES)) continue;
      if (bytes < 0) return errno;
      parts_.emplace_back(name);
      parts_.emplace_back(value.data(), static_cast<size_t>(bytes));
    }
    return 0;
  }

  Napi::Promise::Deferred deferred_;
  std::string path_;
  const size_t limit_;
  std::vector<std::string> parts_;
  int problem_ = 0;
};

}  // namespace

Napi::Value ReadXattrs(const Napi::CallbackInfo& info) {
  auto* worker = new ReadXattrsWorker(info);
  worker->Queue();
  return worker->promise();
}

}  // namespace registryfs
