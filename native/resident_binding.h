#pragma once

#include <map>
#include <memory>
#include <utility>

#include "addon_api.h"
#include "resident_spans.h"

namespace registryfs {

// ResidentSpans as a class of JavaScript: src/util/fuse-verbs.ts, ResidentTable.
class ResidentBinding : public Napi::ObjectWrap<ResidentBinding> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit ResidentBinding(const Napi::CallbackInfo& info);

  const std::shared_ptr<ResidentSpans>& Spans() const { return spans_; }
  // Those of a table; null where it is something else.
  static std::shared_ptr<ResidentSpans> SpansOf(Napi::Env env, napi_value table);

 private:
  Napi::Value ShowUpTo(const Napi::CallbackInfo& info);
  Napi::Value Publish(const Napi::CallbackInfo& info);
  Napi::Value Withdraw(const Napi::CallbackInfo& info);
  Napi::Value Retract(const Napi::CallbackInfo& info);
  Napi::Value Renew(const Napi::CallbackInfo& info);
  Napi::Value OpenFile(const Napi::CallbackInfo& info);
  Napi::Value CloseFile(const Napi::CallbackInfo& info);
  Napi::Value CloseAllFiles(const Napi::CallbackInfo& info);
  Napi::Value BeginEpoch(const Napi::CallbackInfo& info);
  Napi::Value Answers(const Napi::CallbackInfo& info);

  // Shared with the channels, whose threads may outlive this object by a moment.
  const std::shared_ptr<ResidentSpans> spans_ = std::make_shared<ResidentSpans>();
  // The memory of what was published, by space and offset.
  std::map<std::pair<uint64_t, uint64_t>, Napi::ObjectReference> pinned_;
};

}  // namespace registryfs
