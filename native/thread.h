#pragma once

#include <pthread.h>

#include <functional>
#include <memory>
#include <utility>

namespace registryfs {

// A thread that there may be none of (ulimit -u, pids.max): std::thread ends the process then, for the addon
// is built without exceptions. To be joined before it goes.
class Thread {
 public:
  Thread() = default;
  Thread(Thread&& other) noexcept : handle_(other.handle_), running_(std::exchange(other.running_, false)) {}
  Thread& operator=(Thread&&) = delete;

  // 0, or the errno: EAGAIN when there is none to be had.
  int Start(std::function<void()> run) {
    auto own = std::make_unique<std::function<void()>>(std::move(run));
    const int error = pthread_create(&handle_, nullptr, Main, own.get());
    if (error != 0) return error;
    own.release();
    running_ = true;
    return 0;
  }

  void Join() {
    if (std::exchange(running_, false)) pthread_join(handle_, nullptr);
  }

 private:
  static void* Main(void* argument) {
    const std::unique_ptr<std::function<void()>> run(static_cast<std::function<void()>*>(argument));
    (*run)();
    return nullptr;
  }

  pthread_t handle_ = {};
  bool running_ = false;
};

}  // namespace registryfs
