#include "gzip_header.h"

#include <zlib.h>

namespace registryfs {

namespace {
constexpr uint8_t kHeaderCrcFlag = 2;
constexpr uint8_t kExtraFlag = 4;
constexpr uint8_t kNameFlag = 8;
constexpr uint8_t kCommentFlag = 16;
constexpr uint8_t kReservedFlags = 0xe0;
// Names and comments have no bound of their own.
constexpr uint32_t kMaximumBytes = 1 << 20;
}  // namespace

void GzipHeader::Reset() { *this = GzipHeader(); }

// Chooses the field after the present one by what the flags promise.
void GzipHeader::Next() {
  have_ = 0;
  value_ = 0;
  switch (state_) {
    case State::kFixed:
      if (flags_ & kExtraFlag) {
        state_ = State::kExtraLength;
        return;
      }
      [[fallthrough]];
    case State::kExtraLength:
    case State::kExtra:
      if (flags_ & kNameFlag) {
        state_ = State::kName;
        return;
      }
      [[fallthrough]];
    case State::kName:
      if (flags_ & kCommentFlag) {
        state_ = State::kComment;
        return;
      }
      [[fallthrough]];
    case State::kComment:
      if (flags_ & kHeaderCrcFlag) {
        state_ = State::kHeaderCrc;
        return;
      }
      [[fallthrough]];
    default:
      state_ = State::kDone;
  }
}

GzipHeader::Result GzipHeader::Feed(const uint8_t** input, size_t* length) {
  while (state_ != State::kDone) {
    if (*length == 0) return Result::kNeedMore;
    const uint8_t byte = **input;
    ++*input;
    --*length;
    if (++total_ > kMaximumBytes) {
      problem_ = "the gzip header is longer than 1 MiB";
      return Result::kBad;
    }
    if (state_ != State::kHeaderCrc) crc_ = static_cast<uint32_t>(crc32(crc_, &byte, 1));
    switch (state_) {
      case State::kFixed:
        fixed_[have_++] = byte;
        if ((have_ == 1 && byte != 0x1f) || (have_ == 2 && byte != 0x8b)) {
          problem_ = "not a gzip header";
          return Result::kBad;
        }
        if (have_ == 3 && byte != 8) {
          problem_ = "the gzip member is not compressed with deflate";
          return Result::kBad;
        }
        if (have_ == 4 && (byte & kReservedFlags) != 0) {
          problem_ = "the gzip header has unknown flags";
          return Result::kBad;
        }
        if (have_ == 10) {
          flags_ = fixed_[3];
          Next();
        }
        break;
      case State::kExtraLength:
        value_ |= static_cast<uint32_t>(byte) << (8 * have_);
        if (++have_ == 2) {
          needed_ = value_;
          have_ = 0;
          state_ = State::kExtra;
          if (needed_ == 0) Next();
        }
        break;
      case State::kExtra:
        if (++have_ == needed_) Next();
        break;
      case State::kName:
      case State::kComment:
        if (byte == 0) Next();
        break;
      case State::kHeaderCrc:
        value_ |= static_cast<uint32_t>(byte) << (8 * have_);
        if (++have_ == 2) {
          if (value_ != (crc_ & 0xffff)) {
            problem_ = "the gzip header's CRC is wrong";
            return Result::kBad;
          }
          Next();
        }
        break;
      case State::kDone:
        break;
    }
  }
  return Result::kDone;
}

}  // namespace registryfs
