// The addon's verbs. What they mean, and the checking of arguments, is in src/native.ts.
#include <napi.h>

#include <memory>

#include "bare_inflate.h"
#include "file_lock.h"
#include "pass_binding.h"
#include "span_binding.h"

namespace {

// Per environment: worker threads of Node have their own.
struct AddonData {
  explicit AddonData(Napi::Env env) : spans(env) {}
  registryfs::SpanPool spans;
};

Napi::Value InflateSpan(const Napi::CallbackInfo& info) {
  info.Env().GetInstanceData<AddonData>()->spans.Submit(info);
  return info.Env().Undefined();
}

Napi::Object Initialise(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new AddonData(env));
  exports.Set("Pass", registryfs::PassBinding::Define(env));
  exports.Set("inflateSpan", Napi::Function::New<InflateSpan>(env, "inflateSpan"));
  exports.Set("bareInflate", Napi::Function::New<registryfs::BareInflate>(env, "bareInflate"));
  exports.Set("lockFile", Napi::Function::New<registryfs::LockFile>(env, "lockFile"));
  return exports;
}

}  // namespace

NODE_API_MODULE(registryfs, Initialise)
