#include "file_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace registryfs {

int ReadFilePart(const FilePart& part) {
  const int descriptor = open(part.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return errno;
  int problem = 0;
  size_t filled = 0;
  while (filled < part.length) {
    const ssize_t bytes = pread(descriptor, part.target + filled, part.length - filled,
                                static_cast<off_t>(part.offset + filled));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) {
      problem = bytes < 0 ? errno : ENODATA;
      break;
    }
    filled += static_cast<size_t>(bytes);
  }
  close(descriptor);
  return problem;
}

}  // namespace registryfs
