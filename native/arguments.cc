#include "arguments.h"

namespace registryfs {

Argument Argument::Get(const char* name) const {
  napi_value part = nullptr;
  if (!all_->Check(napi_get_named_property(all_->info_.Env(), value_, name, &part))) part = nullptr;
  return {all_, part};
}

Argument Argument::At(uint32_t index) const {
  napi_value part = nullptr;
  if (!all_->Check(napi_get_element(all_->info_.Env(), value_, index, &part))) part = nullptr;
  return {all_, part};
}

uint32_t Argument::Count() const {
  uint32_t count = 0;
  return all_->Check(napi_get_array_length(all_->info_.Env(), value_, &count)) ? count : 0;
}

bool Argument::Is(napi_valuetype type) const {
  napi_valuetype actual = napi_undefined;
  return all_->Check(napi_typeof(all_->info_.Env(), value_, &actual)) && actual == type;
}

double Argument::Number() const {
  double number = 0;
  return all_->Check(napi_get_value_double(all_->info_.Env(), value_, &number)) ? number : 0;
}

uint64_t Argument::Whole() const { return static_cast<uint64_t>(Number()); }

bool Argument::Flag() const {
  bool flag = false;
  return all_->Check(napi_get_value_bool(all_->info_.Env(), value_, &flag)) && flag;
}

std::string Argument::Text() const {
  size_t length = 0;
  const napi_env env = all_->info_.Env();
  if (!all_->Check(napi_get_value_string_utf8(env, value_, nullptr, 0, &length))) return "";
  std::string text(length + 1, '\0');
  if (!all_->Check(napi_get_value_string_utf8(env, value_, text.data(), text.size(), &length))) return "";
  text.resize(length);
  return text;
}

Argument::Bytes Argument::Data() const {
  void* data = nullptr;
  size_t length = 0;
  if (!all_->Check(napi_get_buffer_info(all_->info_.Env(), value_, &data, &length))) return {nullptr, 0};
  return {static_cast<uint8_t*>(data), length};
}

Napi::ObjectReference Argument::Pin() const {
  if (!all_->Check(value_ == nullptr ? napi_object_expected : napi_ok)) return {};
  return Napi::Persistent(Napi::Object(all_->info_.Env(), value_));
}

Napi::FunctionReference Argument::Keep() const {
  if (!all_->Check(value_ == nullptr ? napi_function_expected : napi_ok)) return {};
  return Napi::Persistent(Napi::Function(all_->info_.Env(), value_));
}

}  // namespace registryfs
