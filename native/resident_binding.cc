#include "resident_binding.h"

#include "arguments.h"

namespace registryfs {

Napi::Function ResidentBinding::Define(Napi::Env env) {
  return DefineClass(
      env, "ResidentTable",
      {InstanceMethod<&ResidentBinding::ShowUpTo>("showUpTo"),
       InstanceMethod<&ResidentBinding::Publish>("publish"),
       InstanceMethod<&ResidentBinding::Withdraw>("withdraw"),
       InstanceMethod<&ResidentBinding::Retract>("retract"), InstanceMethod<&ResidentBinding::Renew>("renew"),
       InstanceMethod<&ResidentBinding::OpenFile>("openFile"),
       InstanceMethod<&ResidentBinding::CloseFile>("closeFile"),
       InstanceMethod<&ResidentBinding::CloseAllFiles>("closeAllFiles"),
       InstanceMethod<&ResidentBinding::BeginEpoch>("beginEpoch"),
       InstanceMethod<&ResidentBinding::Answers>("answers")});
}

ResidentBinding::ResidentBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ResidentBinding>(info) {}

// Not Unwrap, which would throw.
std::shared_ptr<ResidentSpans> ResidentBinding::SpansOf(Napi::Env env, napi_value table) {
  void* binding = nullptr;
  if (napi_unwrap(env, table, &binding) != napi_ok || binding == nullptr) return nullptr;
  return static_cast<ResidentBinding*>(binding)->spans_;
}

Napi::Value ResidentBinding::ShowUpTo(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint64_t space = arguments[0].Whole();
  const uint64_t bytes = arguments[1].Whole();
  if (arguments.AreWhole()) spans_->ShowUpTo(space, bytes);
  return info.Env().Undefined();
}

Napi::Value ResidentBinding::Publish(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const ResidentSpans::Place place = {arguments[0].Whole(), arguments[1].Whole()};
  const Argument::Bytes bytes = arguments[2].Data();
  Napi::ObjectReference pin = arguments[2].Pin();
  if (!arguments.AreWhole()) return info.Env().Undefined();
  spans_->Publish(place, bytes.data, bytes.length);
  // What was pinned there is used no more.
  pinned_[{place.space, place.offset}] = std::move(pin);
  return info.Env().Undefined();
}

Napi::Value ResidentBinding::Withdraw(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const ResidentSpans::Place place = {arguments[0].Whole(), arguments[1].Whole()};
  if (!arguments.AreWhole()) return info.Env().Undefined();
  spans_->Withdraw(place);
  pinned_.erase({place.space, place.offset});
  return info.Env().Undefined();
}

Napi::Value ResidentBinding::Retract(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const ResidentSpans::Place place = {arguments[0].Whole(), arguments[1].Whole()};
  if (arguments.AreWhole()) spans_->Retract(place);
  return info.Env().Undefined();
}

Napi::Value ResidentBinding::Renew(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint64_t space = arguments[0].Whole();
  if (arguments.AreWhole()) spans_->Renew(space);
  return info.Env().Undefined();
}

Napi::Value ResidentBinding::OpenFile(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint64_t handle = arguments[0].Whole();
  const ResidentSpans::Place place = {arguments[1].Whole(), arguments[2].Whole()};
  const uint64_t size = arguments[3].Whole();
  if (arguments.AreWhole()) spans_->OpenFile(handle, place, size);
  return info.Env().Undefined();
}

Napi::Value ResidentBinding::CloseFile(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint64_t handle = arguments[0].Whole();
  if (arguments.AreWhole()) spans_->CloseFile(handle);
  return info.Env().Undefined();
}

Napi::Value ResidentBinding::CloseAllFiles(const Napi::CallbackInfo& info) {
  spans_->CloseAllFiles();
  return info.Env().Undefined();
}

Napi::Value ResidentBinding::BeginEpoch(const Napi::CallbackInfo& info) {
  spans_->BeginEpoch();
  return info.Env().Undefined();
}

Napi::Value ResidentBinding::Answers(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(spans_->Answers()));
}

}  // namespace registryfs
