// The addon's verbs. What they mean, and the checking of arguments, is in src/native.ts.
#include <zlib.h>

#include <memory>

#include "addon_api.h"
#include "arguments.h"
#include "bare_inflate.h"
#include "crc32.h"
#include "file_lock.h"
#include "file_writer.h"
#include "fuse_channel_binding.h"
#include "large_memory.h"
#include "pass_binding.h"
#include "process_settings.h"
#include "resident_binding.h"
#include "sha256.h"
#include "span_binding.h"
#include "span_stream_binding.h"
#include "xattrs.h"
#include "zstd_binding.h"

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

Napi::Value DecodeZstdSpan(const Napi::CallbackInfo& info) {
  return registryfs::DecodeZstdSpan(info.Env().GetInstanceData<AddonData>()->spans, info);
}

Napi::Value CompressZstd(const Napi::CallbackInfo& info) {
  return registryfs::CompressZstd(info.Env().GetInstanceData<AddonData>()->spans, info);
}

Napi::Value OpenZstdStream(const Napi::CallbackInfo& info) {
  return registryfs::OpenZstdStream(info.Env().GetInstanceData<AddonData>()->spans, info);
}

Napi::Value OpenSpanStream(const Napi::CallbackInfo& info) {
  return registryfs::OpenSpanStream(info.Env().GetInstanceData<AddonData>()->spans, info);
}

Napi::Value Crc32Of(const Napi::CallbackInfo& info) {
  registryfs::Arguments arguments(info);
  const auto bytes = arguments[0].Data();
  return Napi::Number::New(info.Env(), registryfs::UpdateCrc32(0, bytes.data, bytes.length));
}

Napi::Value SealOf(const Napi::CallbackInfo& info) {
  registryfs::Arguments arguments(info);
  const auto chunk = arguments[0].Data();
  const auto before = arguments[1].Data();
  const uint64_t bytesBefore = arguments[2].Whole();
  const bool isShort = arguments[3].Flag();
  if (!arguments.AreWhole()) return info.Env().Undefined();
  registryfs::Sha256 sha;
  if (bytesBefore > 0) sha.GoOnAfter(before.data, bytesBefore);
  sha.Update(chunk.data, chunk.length);
  const auto seal = isShort ? sha.Digest() : sha.ChainingValue();
  return Napi::Buffer<uint8_t>::Copy(info.Env(), seal.data(), seal.size());
}

Napi::Object Initialise(Napi::Env env, Napi::Object exports) {
  // It compares versions and the size of z_stream: those that this was built with, and those of this Node.
  z_stream probe = {};
  if (inflateInit2(&probe, -15) != Z_OK) {
    Napi::Error::New(env, "this Node has a zlib that the addon does not fit").ThrowAsJavaScriptException();
    return exports;
  }
  inflateEnd(&probe);
  env.SetInstanceData(new AddonData(env));
  exports.Set("slotHeadBytes", static_cast<double>(registryfs::kSlotHeadBytes));
  exports.Set("slotTailBytes", static_cast<double>(registryfs::kSlotTailBytes));
  exports.Set("Pass", registryfs::PassBinding::Define(env));
  exports.Set("inflateSpan", Napi::Function::New<InflateSpan>(env, "inflateSpan"));
  exports.Set("decodeZstdSpan", Napi::Function::New<DecodeZstdSpan>(env, "decodeZstdSpan"));
  exports.Set("compressZstd", Napi::Function::New<CompressZstd>(env, "compressZstd"));
  exports.Set("openZstdStream", Napi::Function::New<OpenZstdStream>(env, "openZstdStream"));
  exports.Set("openSpanStream", Napi::Function::New<OpenSpanStream>(env, "openSpanStream"));
  exports.Set("bareInflate", Napi::Function::New<registryfs::BareInflate>(env, "bareInflate"));
  exports.Set("FuseChannel", registryfs::FuseChannelBinding::Define(env));
  exports.Set("ResidentTable", registryfs::ResidentBinding::Define(env));
  exports.Set("mountFuse", Napi::Function::New<registryfs::MountFuseAsync>(env, "mountFuse"));
  exports.Set("crc32", Napi::Function::New<Crc32Of>(env, "crc32"));
  exports.Set("replaceFile", Napi::Function::New<registryfs::ReplaceFile>(env, "replaceFile"));
  exports.Set("readXattrs", Napi::Function::New<registryfs::ReadXattrs>(env, "readXattrs"));
  exports.Set("sealOf", Napi::Function::New<SealOf>(env, "sealOf"));
  exports.Set("closeOnExec", Napi::Function::New<registryfs::CloseOnExec>(env, "closeOnExec"));
  exports.Set("putInPlace", Napi::Function::New<registryfs::PutInPlace>(env, "putInPlace"));
  exports.Set("returnFreedMemory",
              Napi::Function::New<registryfs::ReturnFreedMemory>(env, "returnFreedMemory"));
  exports.Set("allocateLarge", Napi::Function::New<registryfs::AllocateLarge>(env, "allocateLarge"));
  exports.Set("lockFile", Napi::Function::New<registryfs::LockFile>(env, "lockFile"));
  return exports;
}

}  // namespace

NODE_API_MODULE(registryfs, Initialise)
