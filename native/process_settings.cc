#include "process_settings.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "arguments.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace registryfs {

Napi::Value ReturnFreedMemory(const Napi::CallbackInfo& info) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  // Else each buffer that libfuse frees after a read is cut off the heap, to be faulted in again by the next.
  mallopt(M_TRIM_THRESHOLD, 32 << 20);
  // The threads of the addon and of libuv allocate little: more arenas only spread it.
  mallopt(M_ARENA_MAX, 2);
#endif
  return info.Env().Undefined();
}

Napi::Value CloseOnExec(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int descriptor = static_cast<int>(arguments[0].Number());
  if (arguments.AreWhole() && fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) {
    Napi::Error::New(info.Env(), std::strerror(errno)).ThrowAsJavaScriptException();
  }
  return info.Env().Undefined();
}

Napi::Value PutInPlace(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int from = static_cast<int>(arguments[0].Number());
  const int to = static_cast<int>(arguments[1].Number());
  if (arguments.AreWhole() && dup2(from, to) < 0) {
    Napi::Error::New(info.Env(), std::strerror(errno)).ThrowAsJavaScriptException();
  }
  return info.Env().Undefined();
}

}  // namespace registryfs
