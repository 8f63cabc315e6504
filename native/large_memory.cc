#include "large_memory.h"

#include <sys/mman.h>

#include "arguments.h"

namespace registryfs {

namespace {
constexpr size_t kHugePage = 2 << 20;

// Whole huge pages only, at their boundaries: the kernel makes no others of them.
uint8_t* Map(size_t bytes) {
  void* mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  uint8_t* const start = static_cast<uint8_t*>(mapped);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
  if (before > 0) munmap(start, before);
  munmap(start + before + bytes, kHugePage - before);
  // Refused by kernels without them, which is as well.
  madvise(start + before, bytes, MADV_HUGEPAGE);
  return start + before;
}
}  // namespace

Napi::Value AllocateLarge(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const size_t wanted = arguments[0].Whole();
  const size_t bytes = (wanted + kHugePage - 1) / kHugePage * kHugePage;
  if (!arguments.AreWhole() || bytes < wanted) return info.Env().Undefined();
  uint8_t* const memory = Map(bytes);
  if (memory == nullptr) return info.Env().Undefined();
  const auto unmap = [bytes](Napi::Env, uint8_t* memory) { munmap(memory, bytes); };
  const Napi::Value buffer = Napi::Buffer<uint8_t>::New(info.Env(), memory, wanted, unmap);
  if (buffer.IsEmpty()) munmap(memory, bytes);
  return buffer;
}

}  // namespace registryfs
