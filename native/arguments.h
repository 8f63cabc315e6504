#pragma once

#include <string>

#include "addon_api.h"

namespace registryfs {

class Arguments;

// One value that JavaScript gave, or a part of one.
class Argument {
 public:
  Argument(Arguments* all, napi_value value) : all_(all), value_(value) {}

  Argument Get(const char* name) const;
  Argument At(uint32_t index) const;
  uint32_t Count() const;
  bool Is(napi_valuetype type) const;
  double Number() const;
  uint64_t Whole() const;
  bool Flag() const;
  std::string Text() const;

  struct Bytes {
    uint8_t* data;
    size_t length;
  };
  // Of a Buffer.
  Bytes Data() const;

  // For as long as the bytes, or the function, are needed.
  Napi::ObjectReference Pin() const;
  Napi::FunctionReference Keep() const;

 private:
  Arguments* all_;
  napi_value value_;
};

// What JavaScript gave to a verb. A worker thread can be terminated from another thread in the middle of a
// verb: from then on calls of Node-API fail, with no exception to tell it, and a value that one of them was
// to give is a wild one. Here it is nothing instead, zero or empty, and AreWhole turns false: a verb reads
// all its arguments, and does nothing when they are not whole.
class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  Argument operator[](size_t index) { return {this, info_[index]}; }
  bool AreWhole() const { return whole_; }

 private:
  friend class Argument;

  bool Check(napi_status status) {
    if (status != napi_ok) whole_ = false;
    return status == napi_ok;
  }

  const Napi::CallbackInfo& info_;
  bool whole_ = true;
};

}  // namespace registryfs
