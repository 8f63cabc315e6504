#pragma once

#include <cstdint>

#include "resident_spans.h"

namespace registryfs {

// Answers a read with what was found of it. The errno with which the kernel refused that; 0 also where nobody
// waits for it any more.
int AnswerFound(int descriptor, uint64_t unique, const ResidentSpans::Found& found);

}  // namespace registryfs
