#include "xattrs.h"

#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "blocking_verb.h"

namespace registryfs {

namespace {

class ReadXattrsVerb : public BlockingVerb {
 public:
  ReadXattrsVerb(Napi::Env env, Arguments& arguments)
      : BlockingVerb(env, arguments[2].Keep()), limit_(arguments[1].Whole()) {
    const Argument::Bytes path = arguments[0].Data();
    path_.assign(reinterpret_cast<const char*>(path.data), path.length);
  }

  void Execute() override { problem_ = Read(); }

 protected:
  napi_value Answer() override {
    if (problem_ != 0) return Napi::Number::New(Env(), problem_);
    auto list = Napi::Array::New(Env(), parts_.size());
    for (uint32_t i = 0; i < parts_.size(); ++i)
      list.Set(i, Napi::Buffer<char>::Copy(Env(), parts_[i].data(), parts_[i].size()));
    return list;
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

  std::string path_;
  const size_t limit_;
  std::vector<std::string> parts_;
  int problem_ = 0;
};

}  // namespace

Napi::Value ReadXattrs(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  auto verb = std::make_unique<ReadXattrsVerb>(info.Env(), arguments);
  if (arguments.AreWhole()) verb.release()->Queue();
  return info.Env().Undefined();
}

}  // namespace registryfs
