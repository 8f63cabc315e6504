#include "resident_answer.h"

#include <linux/fuse.h>
#include <sys/uio.h>

#include <cerrno>

#include "kernel_write.h"

namespace registryfs {

int AnswerFound(int descriptor, uint64_t unique, const ResidentSpans::Found& found) {
  fuse_out_header header = {sizeof(header), 0, unique};
  iovec written[ResidentSpans::kMaximumParts + 1] = {{&header, sizeof(header)}};
  for (int i = 0; i < found.Count(); ++i) {
    written[i + 1] = found.Parts()[i];
    header.len += static_cast<uint32_t>(found.Parts()[i].iov_len);
  }
  const int error = WriteToKernel(descriptor, written, found.Count() + 1);
  return error == ENOENT ? 0 : error;
}

}  // namespace registryfs
