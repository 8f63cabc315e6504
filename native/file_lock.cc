#include "file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "arguments.h"

namespace registryfs {

Napi::Value LockFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info);
  const std::string path = arguments[0].Text();
  if (!arguments.AreWhole()) return env.Undefined();
  // Never closed on success: the lock lives as long as the descriptor. Not inherited, or a child would keep
  // it.
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) {
    Napi::Error::New(env, std::strerror(errno)).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) return Napi::Boolean::New(env, true);
  const int problem = errno;
  close(descriptor);
  if (problem == EWOULDBLOCK) return Napi::Boolean::New(env, false);
  Napi::Error::New(env, std::strerror(problem)).ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace registryfs
