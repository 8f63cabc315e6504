#pragma once

#include "addon_api.h"

namespace registryfs {

// readXattrs(path, limitBytes): promise of the extended attributes of what is at the path (symbolic links are
// not followed), as name and value in turn, or of the errno that stopped it.
Napi::Value ReadXattrs(const Napi::CallbackInfo& info);

}  // namespace registryfs
