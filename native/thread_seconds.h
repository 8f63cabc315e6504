#pragma once

#include <ctime>

namespace registryfs {

// CPU time of this thread: what it costs must not grow with what else the machine does.
inline double ThreadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace registryfs
