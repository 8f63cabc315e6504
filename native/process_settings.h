#pragma once

#include "addon_api.h"

namespace registryfs {

// returnFreedMemory(): large blocks come from mmap for good and go back to the system when they are freed.
// glibc otherwise raises its threshold to the first size that it sees freed, and the spans and chunks that
// come and go at GB/s leave holes in its heaps: 60 to 100 MiB more of RSS, measured.
Napi::Value ReturnFreedMemory(const Napi::CallbackInfo& info);

// closeOnExec(fd): children do not inherit it. Throws with the system's words.
Napi::Value CloseOnExec(const Napi::CallbackInfo& info);

// putInPlace(from, to): `to` is from now on another descriptor of what `from` is (dup2(2)), at no moment free
// for another thread's open. Throws with the system's words.
Napi::Value PutInPlace(const Napi::CallbackInfo& info);

}  // namespace registryfs
