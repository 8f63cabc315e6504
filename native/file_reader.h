#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace registryfs {

struct FilePart {
  std::string path;
  uint64_t offset;
  uint8_t* target;
  size_t length;
};

// 0 when all is well, else the errno: ENODATA where the file has fewer bytes.
int ReadFilePart(const FilePart& part);

}  // namespace registryfs
