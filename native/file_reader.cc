#include "file_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace registryfs {

bool ReadFilePart(const FilePart& part) {
  const int descriptor = open(part.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  size_t filled = 0;
  while (filled < part.length) {
    const ssize_t bytes = pread(descriptor, part.target + filled, part.length - filled,
                                static_cast<off_t>(part.offset + filled));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) break;
    filled += static_cast<size_t>(bytes);
  }
  close(descriptor);
  return filled == part.length;
}

}  // namespace registryfs
