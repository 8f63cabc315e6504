#pragma once

#include "addon_api.h"

namespace registryfs {

// replaceFile(temporary, path, parts, durable, done): done(0), or done(the errno that stopped it), when
// nothing is left of the temporary file. One job for open, writev, fdatasync if durable, close and rename:
// each by itself is a round trip between the event loop and a thread, which costs the loop more than the
// file.
Napi::Value ReplaceFile(const Napi::CallbackInfo& info);

}  // namespace registryfs
