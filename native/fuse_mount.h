#pragma once

#include <cstdint>
#include <string>

namespace registryfs {

struct MountRequest {
  std::string mountPoint;
  std::string source;
  // Of mount(2): MS_*.
  uint64_t flags;
  // Of the kernel's fuse, without fd, rootmode, user_id and group_id.
  std::string kernelOptions;
  // The same and the flags, for `fusermount3 -o`.
  std::string helperOptions;
};

struct MountResult {
  // An open /dev/fuse whose mount is there, not inherited by children; -1 when it failed.
  int descriptor;
  // errno of mount(2) or of opening /dev/fuse; 0 where the helper failed.
  int error;
  // "open", "mount" or "helper".
  const char* step;
  // What the helper said.
  std::string message;
};

// By mount(2); where that is not allowed, through fusermount3, which is set-user-ID root. Blocks.
MountResult MountFuse(const MountRequest& request);

}  // namespace registryfs
