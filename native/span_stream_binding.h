#pragma once

#include "span_binding.h"

namespace registryfs {

// openSpanStream(): {begin, decode, close} (addon-verbs.ts), done on the pool's threads, one call at a time.
Napi::Value OpenSpanStream(SpanPool& pool, const Napi::CallbackInfo& info);

}  // namespace registryfs
