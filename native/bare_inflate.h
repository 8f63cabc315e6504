#pragma once

#include "addon_api.h"

namespace registryfs {

// bareInflate(buffers, done): done(the CPU seconds that plain inflate takes for a gzip stream in memory, into
// one reused buffer), or done(-1) when that is not one whole gzip member. The floor that the benchmark
// compares the first pass with.
Napi::Value BareInflate(const Napi::CallbackInfo& info);

}  // namespace registryfs
