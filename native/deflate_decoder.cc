#include "deflate_decoder.h"

#include <algorithm>
#include <cstring>

namespace registryfs {

namespace {

constexpr uint8_t kPrecodeOrder[kPrecodeCodes] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                  11, 4,  12, 3, 13, 2, 14, 1, 15};

const FixedTables& Fixed() {
  static const FixedTables tables;
  return tables;
}

}  // namespace

void DeflateDecoder::Reset(unsigned bits, unsigned value) {
  bits_ = value & ((1u << bits) - 1);
  left_ = bits;
  state_ = State::kBlockHeader;
  final_ = false;
  problem_ = nullptr;
}

DeflateDecoder::Status DeflateDecoder::Decode(const uint8_t** next, const uint8_t* end,
                                              const uint8_t* history, uint8_t** out, uint8_t* limit) {
  DeflateCursor cursor = {*next, end, history, *out, limit, bits_, left_};
  DeflateStep step = DeflateStep::kGoOn;
  while (step == DeflateStep::kGoOn) step = Step(&cursor);
  Status status = Status::kCorrupt;
  switch (step) {
    case DeflateStep::kNeedInput:
      status = Status::kNeedInput;
      break;
    case DeflateStep::kLimit:
      status = Status::kLimit;
      break;
    case DeflateStep::kBlockEnd:
      state_ = final_ ? State::kStreamEnd : State::kBlockHeader;
      status = final_ ? Status::kStreamEnd : Status::kBlockEnd;
      break;
    default:
      state_ = State::kCorrupt;
  }
  // What was read ahead goes back. What is left of an earlier input began something that has not ended, or
  // this call did nothing.
  const size_t ahead = status == Status::kNeedInput ? 0 : cursor.left / 8;
  const size_t given = std::min(ahead, static_cast<size_t>(cursor.next - *next));
  cursor.next -= given;
  left_ = cursor.left - static_cast<unsigned>(given) * 8;
  bits_ = cursor.bits & ((uint64_t{1} << left_) - 1);
  *next = cursor.next;
  *out = cursor.out;
  return status;
}

DeflateStep DeflateDecoder::Step(DeflateCursor* cursor) {
  switch (state_) {
    case State::kBlockHeader:
      return ReadBlockHeader(cursor);
    case State::kStoredLength:
      return ReadStoredLength(cursor);
    case State::kStored:
      return CopyStored(cursor);
    case State::kCounts:
      return ReadCounts(cursor);
    case State::kPrecode:
      return ReadPrecode(cursor);
    case State::kLengths:
      return ReadLengths(cursor);
    case State::kSymbols:
      return DecodeSymbols(cursor, literals_, distances_, &problem_);
    case State::kStreamEnd:
      return DeflateStep::kBlockEnd;
    case State::kCorrupt:
      break;
  }
  return DeflateStep::kCorrupt;
}

DeflateStep DeflateDecoder::Corrupt(const char* problem) {
  problem_ = problem;
  return DeflateStep::kCorrupt;
}

DeflateStep DeflateDecoder::ReadBlockHeader(DeflateCursor* cursor) {
  cursor->Fill();
  if (cursor->left < 3) return DeflateStep::kNeedInput;
  final_ = cursor->Take(1) == 1;
  switch (cursor->Take(2)) {
    case 0:
      cursor->Drop(cursor->left % 8);
      state_ = State::kStoredLength;
      break;
    case 1:
      literals_ = Fixed().literals;
      distances_ = Fixed().distances;
      state_ = State::kSymbols;
      break;
    case 2:
      state_ = State::kCounts;
      break;
    default:
      return Corrupt("invalid block type");
  }
  return DeflateStep::kGoOn;
}

DeflateStep DeflateDecoder::ReadStoredLength(DeflateCursor* cursor) {
  cursor->Fill();
  if (cursor->left < 32) return DeflateStep::kNeedInput;
  storedLeft_ = cursor->Take(16);
  if (cursor->Take(16) != (storedLeft_ ^ 0xffff)) return Corrupt("invalid stored block lengths");
  state_ = State::kStored;
  return DeflateStep::kGoOn;
}

DeflateStep DeflateDecoder::CopyStored(DeflateCursor* cursor) {
  for (; cursor->left >= 8 && storedLeft_ > 0 && cursor->out < cursor->limit; --storedLeft_)
    *cursor->out++ = static_cast<uint8_t>(cursor->Take(8));
  if (cursor->left == 0 && cursor->out < cursor->limit) {
    // What lies above `left` comes from `next`, and is passed by.
    cursor->bits = 0;
    const size_t bytes = static_cast<size_t>(
        std::min<ptrdiff_t>(storedLeft_, std::min(cursor->end - cursor->next, cursor->limit - cursor->out)));
    std::memcpy(cursor->out, cursor->next, bytes);
    cursor->out += bytes;
    cursor->next += bytes;
    storedLeft_ -= static_cast<uint32_t>(bytes);
  }
  if (storedLeft_ == 0) return DeflateStep::kBlockEnd;
  return cursor->out < cursor->limit ? DeflateStep::kNeedInput : DeflateStep::kLimit;
}

DeflateStep DeflateDecoder::ReadCounts(DeflateCursor* cursor) {
  cursor->Fill();
  if (cursor->left < 14) return DeflateStep::kNeedInput;
  literalCount_ = cursor->Take(5) + 257;
  distanceCount_ = cursor->Take(5) + 1;
  precodeCount_ = cursor->Take(4) + 4;
  if (literalCount_ > 286 || distanceCount_ > 30) return Corrupt("too many length or distance symbols");
  std::memset(lengths_, 0, kPrecodeCodes);
  lengthsRead_ = 0;
  state_ = State::kPrecode;
  return DeflateStep::kGoOn;
}

DeflateStep DeflateDecoder::ReadPrecode(DeflateCursor* cursor) {
  for (; lengthsRead_ < precodeCount_; ++lengthsRead_) {
    cursor->Fill();
    if (cursor->left < 3) return DeflateStep::kNeedInput;
    lengths_[kPrecodeOrder[lengthsRead_]] = static_cast<uint8_t>(cursor->Take(3));
  }
  if (!BuildPrecodeTable(lengths_, precodeTable_)) return Corrupt("invalid code lengths set");
  lengthsRead_ = 0;
  state_ = State::kLengths;
  return DeflateStep::kGoOn;
}

DeflateStep DeflateDecoder::ReadLengths(DeflateCursor* cursor) {
  const unsigned count = literalCount_ + distanceCount_;
  while (lengthsRead_ < count) {
    cursor->Fill();
    const CodeEntry entry = precodeTable_[cursor->Peek(kPrecodeIndexBits)];
    const unsigned bits = entry & 63;
    const unsigned symbol = entry >> 16;
    const unsigned extra = symbol < 16 ? 0 : symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
    if (cursor->left < bits + extra) return DeflateStep::kNeedInput;
    cursor->Drop(bits);
    if (symbol < 16) {
      lengths_[lengthsRead_++] = static_cast<uint8_t>(symbol);
      continue;
    }
    const unsigned repeat = cursor->Take(extra) + (symbol == 18 ? 11 : 3);
    if ((symbol == 16 && lengthsRead_ == 0) || lengthsRead_ + repeat > count)
      return Corrupt("invalid bit length repeat");
    std::memset(lengths_ + lengthsRead_, symbol == 16 ? lengths_[lengthsRead_ - 1] : 0, repeat);
    lengthsRead_ += repeat;
  }
  return BuildTables();
}

DeflateStep DeflateDecoder::BuildTables() {
  if (lengths_[256] == 0) return Corrupt("invalid code -- missing end-of-block");
  if (!BuildLiteralTable(lengths_, literalCount_, literalTable_))
    return Corrupt("invalid literal/lengths set");
  if (!BuildDistanceTable(lengths_ + literalCount_, distanceCount_, distanceTable_))
    return Corrupt("invalid distances set");
  literals_ = literalTable_;
  distances_ = distanceTable_;
  state_ = State::kSymbols;
  return DeflateStep::kGoOn;
}

}  // namespace registryfs
