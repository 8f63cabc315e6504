#include "zstd_binding.h"

#include <zstd.h>

#include "crc32.h"
#include "zstd_frames.h"

namespace registryfs {

namespace {
// Of what the disk cache keeps: about as fast as the disk, and about as small as the layer was.
constexpr int kCompressionLevel = 1;

std::unique_ptr<SpanPool::Job> MakeJob(const Napi::Buffer<uint8_t>& input,
                                       const Napi::Buffer<uint8_t>& target, const Napi::Value& callback) {
  auto job = std::make_unique<SpanPool::Job>();
  job->Pin(input);
  job->Pin(target);
  job->callback = Napi::Persistent(callback.As<Napi::Function>());
  return job;
}
}  // namespace

Napi::Value DecodeZstdSpan(SpanPool& pool, const Napi::CallbackInfo& info) {
  const Napi::Object request = info[0].As<Napi::Object>();
  const auto input = request.Get("input").As<Napi::Buffer<uint8_t>>();
  const auto target = info[1].As<Napi::Buffer<uint8_t>>();
  const Napi::Value crc = request.Get("crc32");
  auto job = MakeJob(input, target, info[2]);
  job->ReadFirst(request.Get("files"));
  job->work = [data = input.Data(), length = input.Length(),
               skip = static_cast<uint64_t>(request.Get("skipBytes").As<Napi::Number>().Int64Value()),
               out = target.Data(), outLength = target.Length(), checks = crc.IsNumber(),
               expected = crc.IsNumber() ? crc.As<Napi::Number>().Uint32Value() : 0](
                  SpanInflater&, SpanPool::Job&) -> const char* {
    const char* problem = DecodeZstdSpan(data, length, skip, out, outLength);
    if (problem != nullptr) return problem;
    return checks && UpdateCrc32(0, out, outLength) != expected ? "the CRC-32 of a span is wrong" : nullptr;
  };
  pool.Submit(std::move(job));
  return info.Env().Undefined();
}

Napi::Value CompressZstd(SpanPool& pool, const Napi::CallbackInfo& info) {
  const auto input = info[0].As<Napi::Buffer<uint8_t>>();
  const auto target = info[1].As<Napi::Buffer<uint8_t>>();
  auto job = MakeJob(input, target, info[2]);
  job->work = [data = input.Data(), length = input.Length(), out = target.Data(),
               outLength = target.Length()](SpanInflater&, SpanPool::Job& self) -> const char* {
    const size_t bytes = ZSTD_compress(out, outLength, data, length, kCompressionLevel);
    if (ZSTD_isError(bytes)) return ZSTD_getErrorName(bytes);
    self.results = {static_cast<double>(bytes)};
    return nullptr;
  };
  pool.Submit(std::move(job));
  return info.Env().Undefined();
}

Napi::Value OpenZstdStream(SpanPool& pool, const Napi::CallbackInfo& info) {
  auto frames = std::make_shared<ZstdFrames>();
  return Napi::Function::New(
      info.Env(),
      [&pool, frames](const Napi::CallbackInfo& call) {
        const auto input = call[0].As<Napi::Buffer<uint8_t>>();
        const auto target = call[1].As<Napi::Buffer<uint8_t>>();
        auto job = MakeJob(input, target, call[2]);
        job->work = [frames, data = input.Data(), length = input.Length(), out = target.Data(),
                     outLength = target.Length()](SpanInflater&, SpanPool::Job& self) -> const char* {
          const uint8_t* next = data;
          uint8_t* made = out;
          const char* problem = frames->Decode(&next, length, &made, outLength);
          self.results = {static_cast<double>(next - data), static_cast<double>(made - out)};
          return problem;
        };
        pool.Submit(std::move(job));
        return call.Env().Undefined();
      },
      "decode");
}

}  // namespace registryfs
