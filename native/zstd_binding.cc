#include "zstd_binding.h"

#include <zstd.h>

#include "crc32.h"
#include "zstd_frames.h"

namespace registryfs {

namespace {
// Of what the disk cache keeps: about as fast as the disk, and about as small as the layer was.
constexpr int kCompressionLevel = 1;
}  // namespace

Napi::Value DecodeZstdSpan(SpanPool& pool, const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const Argument request = arguments[0];
  const Argument crc = request.Get("crc32");
  const bool checks = crc.Is(napi_number);
  auto job = std::make_unique<SpanPool::Job>();
  job->ReadFirst(request.Get("files"));
  job->work = [input = job->Lend(request.Get("input")), skip = request.Get("skipBytes").Whole(),
               target = job->Lend(arguments[1]), checks,
               expected = checks ? static_cast<uint32_t>(crc.Whole()) : 0](SpanInflater&,
                                                                           SpanPool::Job&) -> const char* {
    const char* problem = DecodeZstdSpan(input.data, input.length, skip, target.data, target.length);
    if (problem != nullptr) return problem;
    return checks && UpdateCrc32(0, target.data, target.length) != expected ? "the CRC-32 of a span is wrong"
                                                                            : nullptr;
  };
  job->callback = arguments[2].Keep();
  if (arguments.AreWhole()) pool.Submit(std::move(job));
  return info.Env().Undefined();
}

Napi::Value CompressZstd(SpanPool& pool, const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  auto job = std::make_unique<SpanPool::Job>();
  job->work = [input = job->Lend(arguments[0]), target = job->Lend(arguments[1])](
                  SpanInflater&, SpanPool::Job& self) -> const char* {
    const size_t bytes =
        ZSTD_compress(target.data, target.length, input.data, input.length, kCompressionLevel);
    if (ZSTD_isError(bytes)) return ZSTD_getErrorName(bytes);
    self.results = {static_cast<double>(bytes)};
    return nullptr;
  };
  job->callback = arguments[2].Keep();
  if (arguments.AreWhole()) pool.Submit(std::move(job));
  return info.Env().Undefined();
}

Napi::Value OpenZstdStream(SpanPool& pool, const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto open = std::make_shared<std::shared_ptr<ZstdFrames>>(std::make_shared<ZstdFrames>());
  Napi::Object stream = Napi::Object::New(env);
  stream.Set(
      "decode",
      Napi::Function::New(
          env,
          [&pool, open](const Napi::CallbackInfo& call) {
            Arguments arguments(call);
            auto job = std::make_unique<SpanPool::Job>();
            job->work = [frames = *open, input = job->Lend(arguments[0]), target = job->Lend(arguments[1])](
                            SpanInflater&, SpanPool::Job& self) -> const char* {
              if (!frames) return "the stream is closed";
              const uint8_t* next = input.data;
              uint8_t* made = target.data;
              const char* problem = frames->Decode(&next, input.length, &made, target.length);
              self.results = {static_cast<double>(next - input.data), static_cast<double>(made - target.data),
                              static_cast<double>(frames->heldBytes())};
              return problem;
            };
            job->callback = arguments[2].Keep();
            if (arguments.AreWhole()) pool.Submit(std::move(job));
            return call.Env().Undefined();
          },
          "decode"));
  stream.Set("close", Napi::Function::New(
                          env, [open](const Napi::CallbackInfo&) { open->reset(); }, "close"));
  return stream;
}

}  // namespace registryfs
