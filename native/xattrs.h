#pragma once

#include "addon_api.h"

namespace registryfs {

// readXattrs(path, limitBytes, done): done(the extended attributes of what is at the path, symbolic links not
// followed, as name and value in turn), or done(the errno that stopped it).
Napi::Value ReadXattrs(const Napi::CallbackInfo& info);

}  // namespace registryfs
