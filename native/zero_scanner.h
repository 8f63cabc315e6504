#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace registryfs {

// Finds the runs of zeros of a stream: whole aligned blocks, none shorter than kShortestRun. A run that goes
// on is reported piece by piece, each beginning where the one before ended, so that nothing is ever held
// back.
class ZeroScanner {
 public:
  static constexpr uint64_t kGrain = 512;
  static constexpr uint64_t kShortestRun = 4096;

  // Offset and length of one run after another.
  using Runs = std::vector<uint64_t>;

  // The bytes that follow; true when all of them are 0.
  bool Add(const uint8_t* data, size_t length);

  // What was found since the last call, the present run included as far as it has come.
  Runs Take();

  // The whole state beside the offset: where the present run begins, or may begin next.
  uint64_t start() const { return start_; }

  // Continues at `offset` in the state `start`. False when the two do not go together.
  bool Resume(uint64_t offset, uint64_t start);

 private:
  void Report(uint64_t end);

  uint64_t offset_ = 0;
  uint64_t start_ = 0;
  uint64_t reported_ = 0;  // of the present run
  Runs runs_;
};

}  // namespace registryfs
