#pragma once

#include "addon_api.h"
#include "span_binding.h"

namespace registryfs {

// decodeZstdSpan({ input, skipBytes, crc32 }, target, callback): callback(null) or callback(what is wrong).
Napi::Value DecodeZstdSpan(SpanPool& pool, const Napi::CallbackInfo& info);

// compressZstd(input, target, callback): callback([bytes of the one frame]) or callback(what is wrong).
Napi::Value CompressZstd(SpanPool& pool, const Napi::CallbackInfo& info);

// openZstdStream(): { decode, close }. decode(input, target, callback) goes on where its last call ended;
// callback([bytes taken, bytes made, bytes held]) or callback(what is wrong), one call at a time. close()
// lets go of the window.
Napi::Value OpenZstdStream(SpanPool& pool, const Napi::CallbackInfo& info);

}  // namespace registryfs
