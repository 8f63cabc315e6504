#pragma once

#include <cstddef>
#include <cstdint>

namespace registryfs {

// Reads the header of a gzip member (RFC 1952, 2.3) that may arrive in any number of pieces.
class GzipHeader {
 public:
  enum class Result { kNeedMore, kDone, kBad };

  void Reset();

  // Consumes from *input, at most *length bytes; both are advanced. After kBad, `problem` says why.
  Result Feed(const uint8_t** input, size_t* length);

  // Both magic bytes were seen.
  bool hasMagic() const { return state_ != State::kFixed || have_ > 2 || (have_ == 2 && fixed_[1] == 0x8b); }

  const char* problem() const { return problem_; }

 private:
  enum class State { kFixed, kExtraLength, kExtra, kName, kComment, kHeaderCrc, kDone };

  void Next();

  State state_ = State::kFixed;
  uint8_t fixed_[10];
  uint8_t flags_ = 0;
  uint32_t have_ = 0;    // bytes of the present field
  uint32_t needed_ = 0;  // of FEXTRA
  uint32_t value_ = 0;
  uint32_t crc_ = 0;
  uint32_t total_ = 0;
  const char* problem_ = nullptr;
};

}  // namespace registryfs
