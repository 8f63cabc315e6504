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

// False when the file is not there, or has fewer bytes.
bool ReadFilePart(const FilePart& part);

}  // namespace registryfs
