#include "span_binding.h"

namespace registryfs {

namespace {
// One for the reader that waits, one for the span that comes next; more gained nothing on two cores.
constexpr size_t kThreads = 2;
}  // namespace

SpanPool::SpanPool(Napi::Env env) : env_(env) {
  completion_ = Completion::New(env, "registryfs:spans", 0, 1, this);
  // Only a span under way keeps the process alive.
  completion_.Unref(env);
  // Hooks run in reverse order: before the completion's own, which frees what the threads call.
  napi_add_env_cleanup_hook(
      env, [](void* self) { static_cast<SpanPool*>(self)->Stop(); }, this);
  for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { Run(); });
}

void SpanPool::Submit(const Napi::CallbackInfo& info) {
  const Napi::Object request = info[0].As<Napi::Object>();
  const auto input = request.Get("input").As<Napi::Buffer<uint8_t>>();
  const auto window = request.Get("window").As<Napi::Buffer<uint8_t>>();
  const auto target = info[1].As<Napi::Buffer<uint8_t>>();
  const Napi::Value crc = request.Get("crc32");
  const auto number = [&request](const char* name) {
    return request.Get(name).As<Napi::Number>().Int64Value();
  };
  SpanJob span;
  span.input = input.Data();
  span.inputLength = input.Length();
  span.bit = static_cast<unsigned>(number("bitOffset"));
  span.atHeader = request.Get("atHeader").As<Napi::Boolean>().Value();
  span.window = window.Data();
  span.windowDeflatedLength = window.Length();
  span.windowLength = static_cast<uint32_t>(number("windowLength"));
  span.skipBytes = static_cast<uint64_t>(number("skipBytes"));
  span.target = target.Data();
  span.targetLength = target.Length();
  span.checkCrc = crc.IsNumber();
  span.crc = crc.IsNumber() ? crc.As<Napi::Number>().Uint32Value() : 0;
  auto job = std::make_unique<Job>();
  job->ReadFirst(request.Get("files"));
  job->work = [span](SpanInflater& inflater, Job&) { return inflater.Inflate(span); };
  job->Pin(input);
  job->Pin(window);
  job->Pin(target);
  job->callback = Napi::Persistent(info[2].As<Napi::Function>());
  Submit(std::move(job));
}

void SpanPool::Job::ReadFirst(const Napi::Value& list) {
  if (!list.IsArray()) return;
  const auto array = list.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const auto part = array.Get(i).As<Napi::Object>();
    const auto bytes = part.Get("target").As<Napi::Buffer<uint8_t>>();
    files.push_back({part.Get("path").As<Napi::String>().Utf8Value(),
                     static_cast<uint64_t>(part.Get("offset").As<Napi::Number>().Int64Value()), bytes.Data(),
                     bytes.Length()});
  }
}

void SpanPool::Submit(std::unique_ptr<Job> job) {
  if (pending_++ == 0) completion_.Ref(env_);
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
    for (const FilePart& part : job->files) {
      if (!ReadFilePart(part)) job->problem = "a part of it cannot be read";
    }
    if (job->problem == nullptr) job->problem = job->work(inflater, *job);
    completion_.NonBlockingCall(job);
  }
}

void SpanPool::Complete(Napi::Env env, Napi::Function, SpanPool* pool, Job* job) {
  std::unique_ptr<Job> owned(job);
  if (env == nullptr) return;
  if (--pool->pending_ == 0) pool->completion_.Unref(env);
  Napi::Value answer = env.Null();
  if (job->problem != nullptr) {
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
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  for (Job* job : jobs_) delete job;
  jobs_.clear();
}

}  // namespace registryfs
