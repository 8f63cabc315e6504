#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "addon_api.h"
#include "file_reader.h"
#include "span_inflater.h"

namespace registryfs {

// Two threads that inflate spans for JavaScript, one pool for each environment.
class SpanPool {
 public:
  explicit SpanPool(Napi::Env env);
  ~SpanPool() { Stop(); }

  // inflateSpan(request, target, callback): callback(null) or callback(what is wrong).
  void Submit(const Napi::CallbackInfo& info);

 private:
  struct Job {
    SpanJob span;
    std::vector<FilePart> files;  // into what the first two references hold
    // The four phases: made on the main thread with everything pinned; inflated on a pool thread, which
    // touches nothing of N-API; completed on the main thread, where the references go.
    Napi::Reference<Napi::Buffer<uint8_t>> input;
    Napi::Reference<Napi::Buffer<uint8_t>> window;
    Napi::Reference<Napi::Buffer<uint8_t>> target;
    Napi::FunctionReference callback;
    const char* problem = nullptr;
  };

  static void Complete(Napi::Env env, Napi::Function unused, SpanPool* pool, Job* job);
  void Run();
  void Stop();

  using Completion = Napi::TypedThreadSafeFunction<SpanPool, Job, Complete>;

  Napi::Env env_;
  Completion completion_;
  size_t pending_ = 0;  // on the main thread only
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job*> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace registryfs
