#pragma once

#include "addon_api.h"

namespace registryfs {

// lockFile(path): makes the file if need be and takes flock(2) on it for the life of the process. True, false
// when somebody else has it, or throws with the system's words.
Napi::Value LockFile(const Napi::CallbackInfo& info);

}  // namespace registryfs
