#include "span_stream_binding.h"

#include "span_stream.h"

namespace registryfs {

namespace {

// Until `close`; a job under way holds it besides.
using Open = std::shared_ptr<std::shared_ptr<SpanStream>>;

void Begin(SpanPool& pool, const Open& open, const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const Argument request = arguments[0];
  auto job = std::make_unique<SpanPool::Job>();
  SpanJob span = {};
  job->ReadStart(request, &span);
  span.zlib = request.Get("zlib").Flag();
  job->work = [stream = *open, span](SpanInflater& inflater, SpanPool::Job&) {
    return stream ? stream->Begin(span, inflater) : "the stream is closed";
  };
  job->callback = arguments[1].Keep();
  if (arguments.AreWhole()) pool.Submit(std::move(job));
}

void Decode(SpanPool& pool, const Open& open, const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  auto job = std::make_unique<SpanPool::Job>();
  job->work = [stream = *open, input = job->Lend(arguments[0]), wanted = arguments[1].Whole(),
               target = job->Lend(arguments[2])](SpanInflater&, SpanPool::Job& self) -> const char* {
    if (!stream) return "the stream is closed";
    const uint8_t* next = input.data;
    uint64_t skip = wanted;
    uint8_t* made = target.data;
    const char* problem = stream->Decode(&next, input.length, &skip, &made, target.length);
    self.results = {static_cast<double>(next - input.data), static_cast<double>(wanted - skip),
                    static_cast<double>(made - target.data), static_cast<double>(stream->crc())};
    return problem;
  };
  job->callback = arguments[3].Keep();
  if (arguments.AreWhole()) pool.Submit(std::move(job));
}

}  // namespace

Napi::Value OpenSpanStream(SpanPool& pool, const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Open open = std::make_shared<std::shared_ptr<SpanStream>>(std::make_shared<SpanStream>());
  Napi::Object stream = Napi::Object::New(env);
  const auto set = [env, &stream](const char* name, auto verb) {
    stream.Set(name, Napi::Function::New(
                         env,
                         [verb](const Napi::CallbackInfo& call) {
                           verb(call);
                           return call.Env().Undefined();
                         },
                         name));
  };
  set("begin", [&pool, open](const Napi::CallbackInfo& call) { Begin(pool, open, call); });
  set("decode", [&pool, open](const Napi::CallbackInfo& call) { Decode(pool, open, call); });
  set("close", [open](const Napi::CallbackInfo&) { open->reset(); });
  return stream;
}

}  // namespace registryfs
