#pragma once

#include <napi.h>

namespace registryfs {

// bareInflate(buffers): promise of the seconds that plain inflate takes for a gzip stream in memory, into one reused
// buffer. The floor that the benchmark compares the first pass with.
Napi::Value BareInflate(const Napi::CallbackInfo& info);

}  // namespace registryfs
