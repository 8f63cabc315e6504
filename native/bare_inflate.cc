#include "bare_inflate.h"

#include <zlib.h>

#include <memory>
#include <vector>

#include "arguments.h"
#include "blocking_verb.h"
#include "thread_seconds.h"

namespace registryfs {

namespace {

class BareInflateVerb : public BlockingVerb {
 public:
  BareInflateVerb(Napi::Env env, Arguments& arguments) : BlockingVerb(env, arguments[1].Keep()) {
    const Argument buffers = arguments[0];
    const uint32_t count = buffers.Count();
    for (uint32_t i = 0; i < count; ++i) {
      inputs_.push_back(buffers.At(i).Data());
      references_.push_back(buffers.At(i).Pin());
    }
  }

  void Execute() override {
    std::vector<uint8_t> output(1 << 20);
    z_stream stream = {};
    inflateInit2(&stream, 31);
    const double start = ThreadSeconds();
    int result = Z_OK;
    for (const Argument::Bytes& input : inputs_) {
      stream.next_in = input.data;
      stream.avail_in = static_cast<uInt>(input.length);
      do {
        stream.next_out = output.data();
        stream.avail_out = static_cast<uInt>(output.size());
        result = inflate(&stream, Z_NO_FLUSH);
      } while (result == Z_OK && (stream.avail_in > 0 || stream.avail_out == 0));
      if (result != Z_OK && result != Z_BUF_ERROR) break;
    }
    seconds_ = ThreadSeconds() - start;
    inflateEnd(&stream);
    whole_ = result == Z_STREAM_END;
  }

 protected:
  napi_value Answer() override { return Napi::Number::New(Env(), whole_ ? seconds_ : -1); }

 private:
  std::vector<Argument::Bytes> inputs_;
  std::vector<Napi::ObjectReference> references_;
  bool whole_ = false;
  double seconds_ = 0;
};

}  // namespace

Napi::Value BareInflate(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  auto verb = std::make_unique<BareInflateVerb>(info.Env(), arguments);
  if (arguments.AreWhole()) verb.release()->Queue();
  return info.Env().Undefined();
}

}  // namespace registryfs
