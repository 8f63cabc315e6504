#pragma once

#include <sched.h>

#include <chrono>

namespace registryfs {

// Looking for requests a moment longer before going to sleep. Who was answered at once asks again within
// microseconds (ls -l has two questions for each file), and to wake a thread takes some 50 where a virtual
// machine gives a core that idles back to its host. That other threads stand aside meanwhile was tried: two
// readers at once lose more than a single one gains.
class Linger {
 public:
  // An answer was given that took no longer than that.
  void Begin() {
    began_ = Clock::now();
    isOn_ = true;
  }

  void End() { isOn_ = false; }

  // Whether to look once more. Who wants this core has it in between: perhaps the one who is to ask.
  bool GoesOn() {
    if (!isOn_) return false;
    isOn_ = Clock::now() - began_ < kTime;
    if (isOn_) sched_yield();
    return isOn_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::microseconds kTime{50};

  Clock::time_point began_;
  bool isOn_ = false;
};

}  // namespace registryfs
