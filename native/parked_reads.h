#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "resident_spans.h"

namespace registryfs {

// Reads that wait for spans which are being inflated: whoever has inflated the last of one answers it, on its
// own thread. Each is answered once: by them, or by JavaScript after it took it back.
class ParkedReads {
 public:
  // Both outlive this.
  ParkedReads(int descriptor, ResidentSpans* spans) : descriptor_(descriptor), spans_(spans) {}

  // `length` bytes from `offset` of an open file. False, and nothing is parked, where no such file lies in a
  // space. It is answered at once if all of it has come meanwhile.
  bool Park(uint64_t unique, uint64_t handle, uint64_t offset, size_t length);
  // Whether it was still parked: it is the caller's again.
  bool TakeBack(uint64_t unique);

  // Those of which all is here. On any thread, also on several at once.
  void AnswerResident();

 private:
  struct Read {
    uint64_t handle;
    uint64_t offset;
    size_t length;
  };
  using Reads = std::map<uint64_t, Read>;

  bool Claim(uint64_t from, uint64_t* unique, ResidentSpans::Found* found);
  void Answer(uint64_t unique, const ResidentSpans::Found& found);

  const int descriptor_;
  ResidentSpans* const spans_;
  std::mutex mutex_;
  // By number.
  Reads reads_;
};

}  // namespace registryfs
