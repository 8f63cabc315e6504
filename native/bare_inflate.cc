#include "bare_inflate.h"

#include <zlib.h>

#include <vector>

#include "thread_seconds.h"

namespace registryfs {

namespace {

class BareInflateWorker : public Napi::AsyncWorker {
 public:
  BareInflateWorker(Napi::Env env, const Napi::Array& buffers)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)) {
    for (uint32_t i = 0; i < buffers.Length(); ++i) {
      const auto buffer = buffers.Get(i).As<Napi::Buffer<uint8_t>>();
      inputs_.push_back({buffer.Data(), buffer.Length()});
      references_.push_back(Napi::Persistent(buffer));
    }
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    std::vector<uint8_t> output(1 << 20);
    z_stream stream = {};
    inflateInit2(&stream, 31);
    const double start = ThreadSeconds();
    int result = Z_OK;
    for (const Input& input : inputs_) {
      stream.next_in = const_cast<uint8_t*>(input.data);
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
    if (result != Z_STREAM_END) SetError("the input is not one whole gzip member");
  }

  void OnOK() override { deferred_.Resolve(Napi::Number::New(Env(), seconds_)); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  struct Input {
    const uint8_t* data;
    size_t length;
  };
  std::vector<Input> inputs_;
  std::vector<Napi::Reference<Napi::Buffer<uint8_t>>> references_;
  Napi::Promise::Deferred deferred_;
  double seconds_ = 0;
};

}  // namespace

Napi::Value BareInflate(const Napi::CallbackInfo& info) {
  auto* worker = new BareInflateWorker(info.Env(), info[0].As<Napi::Array>());
  worker->Queue();
  return worker->promise();
}

}  // namespace registryfs
