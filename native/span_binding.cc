#include "span_binding.h"

#include "resident_binding.h"

namespace registryfs {

namespace {
// One for the reader that waits, one for the span that comes next; more gained nothing on two cores.
constexpr size_t kThreads = 2;

// Its outcome is shown to readers at once.
std::function<const char*(SpanInflater&, SpanPool::Job&)> OfferedAt(
    const ResidentSpans::Place& place, const std::shared_ptr<ResidentSpans>& resident, const SpanJob& span) {
  const uint64_t generation = resident->GenerationOf(place.space);
  return [place, resident, span, generation](SpanInflater& inflater, SpanPool::Job&) {
    const char* const problem = inflater.Inflate(span);
    if (problem == nullptr) resident->Offer(place, span.target, span.targetLength, generation);
    return problem;
  };
}
}  // namespace

SpanPool::SpanPool(Napi::Env env) : env_(env) {
  completion_ = Completion::New(env, "registryfs:spans", 0, 1, this);
  // Only a span under way keeps the process alive.
  completion_.Unref(env);
  // Hooks run in reverse order: before the completion's own, which frees what the threads call.
  napi_add_env_cleanup_hook(
      env, [](void* self) { static_cast<SpanPool*>(self)->Stop(); }, this);
  StartThreads();
}

void SpanPool::StartThreads() {
  while (!stopping_ && threads_.size() < kThreads) {
    Thread thread;
    if (thread.Start([this] { Run(); }) != 0) return;
    threads_.push_back(std::move(thread));
  }
}

void SpanPool::Submit(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const Argument request = arguments[0];
  const Argument crc = request.Get("crc32");
  auto job = std::make_unique<Job>();
  const Argument::Bytes input = job->Lend(request.Get("input"));
  const Argument::Bytes target = job->Lend(arguments[1]);
  SpanJob span;
  span.input = input.data;
  span.inputLength = input.length;
  job->ReadStart(request, &span);
  span.skipBytes = request.Get("skipBytes").Whole();
  span.target = target.data;
  span.targetLength = target.length;
  span.checkCrc = crc.Is(napi_number);
  span.crc = span.checkCrc ? static_cast<uint32_t>(crc.Whole()) : 0;
  const Argument zlib = request.Get("zlib");
  span.zlib = zlib.Is(napi_boolean) && zlib.Flag();
  job->ReadFirst(request.Get("files"));
  job->work = [span](SpanInflater& inflater, Job&) { return inflater.Inflate(span); };
  if (arguments[3].Is(napi_object)) {
    const ResidentSpans::Place place = {arguments[4].Whole(), arguments[5].Whole()};
    const auto resident = ResidentBinding::SpansOf(env_, info[3]);
    if (resident) job->work = OfferedAt(place, resident, span);
  }
  job->callback = arguments[2].Keep();
  if (arguments.AreWhole()) Submit(std::move(job));
}

void SpanPool::Job::ReadStart(const Argument& request, SpanJob* span) {
  const Argument::Bytes window = Lend(request.Get("window"));
  span->bit = static_cast<unsigned>(request.Get("bitOffset").Whole());
  span->atHeader = request.Get("atHeader").Flag();
  span->window = window.data;
  span->windowDeflatedLength = window.length;
  span->windowLength = static_cast<uint32_t>(request.Get("windowLength").Whole());
}

Argument::Bytes SpanPool::Job::Lend(const Argument& buffer) {
  pinned.push_back(buffer.Pin());
  return buffer.Data();
}

void SpanPool::Job::ReadFirst(const Argument& list) {
  if (list.Is(napi_undefined)) return;
  const uint32_t count = list.Count();
  for (uint32_t i = 0; i < count; ++i) {
    const Argument part = list.At(i);
    const Argument::Bytes bytes = part.Get("target").Data();
    files.push_back({part.Get("path").Text(), part.Get("offset").Whole(), bytes.data, bytes.length});
  }
}

void SpanPool::Submit(std::unique_ptr<Job> job) {
  StartThreads();
  if (pending_++ == 0) completion_.Ref(env_);
  if (threads_.empty() && !stopping_) {
    SpanInflater inflater;
    Do(inflater, job.release());
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  jobs_.push_back(job.release());
  changed_.notify_one();
}

void SpanPool::Run() {
  SpanInflater inflater;
  for (;;) {
    Job* job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = jobs_.front();
      jobs_.pop_front();
    }
    Do(inflater, job);
  }
}

void SpanPool::Do(SpanInflater& inflater, Job* job) {
  for (size_t i = 0; i < job->files.size() && job->unread == 0; ++i) {
    job->unread = ReadFilePart(job->files[i]);
  }
  if (job->unread == 0) job->problem = job->work(inflater, *job);
  completion_.NonBlockingCall(job);
}

void SpanPool::Complete(Napi::Env env, Napi::Function, SpanPool* pool, Job* job) {
  std::unique_ptr<Job> owned(job);
  if (env == nullptr) return;
  if (--pool->pending_ == 0) pool->completion_.Unref(env);
  Napi::Value answer = env.Null();
  if (job->unread != 0) {
    answer = Napi::Number::New(env, job->unread);
  } else if (job->problem != nullptr) {
    answer = Napi::String::New(env, job->problem);
  } else if (!job->results.empty()) {
    Napi::Array results = Napi::Array::New(env, job->results.size());
    for (uint32_t i = 0; i < results.Length(); ++i) results.Set(i, job->results[i]);
    answer = results;
  }
  CallFromLoop(env, owned->callback.Value(), answer);
}

// The environment is going down: what waits is dropped, what is being inflated is waited for.
void SpanPool::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (Thread& thread : threads_) thread.Join();
  threads_.clear();
  for (Job* job : jobs_) delete job;
  jobs_.clear();
}

}  // namespace registryfs
