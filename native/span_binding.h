#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "addon_api.h"
#include "arguments.h"
#include "file_reader.h"
#include "span_inflater.h"
#include "thread.h"

namespace registryfs {

// Two threads that inflate spans for JavaScript, one pool for each environment. Where there are none to be
// had the main thread does it.
class SpanPool {
 public:
  explicit SpanPool(Napi::Env env);
  ~SpanPool() { Stop(); }

  // inflateSpan(request, target, callback, table, space, offset): callback(null), callback(what is wrong) or
  // callback(the errno of a file). Where there is a table the target is offered to it before.
  void Submit(const Napi::CallbackInfo& info);

  // The phases of a job: made on the main thread with everything pinned; done on a pool thread, which touches
  // nothing of N-API; completed on the main thread, where the references go.
  struct Job {
    // Null when all is well, else what is wrong.
    std::function<const char*(SpanInflater&, Job&)> work;
    std::vector<Napi::ObjectReference> pinned;
    // Read before the work begins, into what is pinned.
    std::vector<FilePart> files;
    Napi::FunctionReference callback;
    const char* problem = nullptr;
    // The errno of the first file that could not be read, when there is no work.
    int unread = 0;
    // Given to the callback in place of null.
    std::vector<double> results;

    // Where the span begins: its bit and its window, which is lent.
    void ReadStart(const Argument& request, SpanJob* span);
    // A buffer's bytes, there until the job is completed.
    Argument::Bytes Lend(const Argument& buffer);
    // An array of FilePart (native.ts), or undefined; the targets are parts of what is lent.
    void ReadFirst(const Argument& list);
  };

  // callback(null), callback(results), callback(what is wrong) or callback(the errno of a file).
  void Submit(std::unique_ptr<Job> job);

 private:
  static void Complete(Napi::Env env, Napi::Function unused, SpanPool* pool, Job* job);
  // As many as are missing and there are to be had.
  void StartThreads();
  void Run();
  void Do(SpanInflater& inflater, Job* job);
  void Stop();

  using Completion = Napi::TypedThreadSafeFunction<SpanPool, Job, Complete>;

  Napi::Env env_;
  Completion completion_;
  size_t pending_ = 0;  // on the main thread only
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job*> jobs_;
  bool stopping_ = false;
  std::vector<Thread> threads_;  // as many as there were to be had
};

}  // namespace registryfs
