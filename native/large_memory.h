#pragma once

#include "addon_api.h"

namespace registryfs {

// allocateLarge(bytes): a buffer of its own pages, in huge ones where the kernel has them: faulting in 4 KiB
// pages takes as long as inflating into them (in a guest ten times as long). Undefined when there is no such
// memory.
Napi::Value AllocateLarge(const Napi::CallbackInfo& info);

}  // namespace registryfs
