#pragma once

#include <sys/uio.h>

#include <cerrno>

namespace registryfs {

// Gives the kernel one whole answer. The errno with which it refused; ENOENT: nobody waits for it any more.
inline int WriteToKernel(int descriptor, const iovec* parts, int count) {
  while (writev(descriptor, parts, count) < 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace registryfs
