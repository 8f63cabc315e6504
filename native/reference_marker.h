#pragma once

#include <cstddef>
#include <cstdint>

namespace registryfs {

constexpr size_t kWindowBytes = 32768;

// Finds which bytes of a seek point's window the output after it refers to. Only matches that reach back
// before the point matter, so lengths and distances are decoded (RFC 1951) and no output is made.
//
// `input` begins with the byte that holds the first bit, `bit` is that bit's number in it. Sets marks[i] for
// byte i of the 32 KiB before the point. False when the stream is odd or ends before `outputBytes` without a
// final block: then any byte may be needed.
bool MarkReferences(const uint8_t* input, size_t length, unsigned bit, size_t outputBytes,
                    uint8_t marks[kWindowBytes]);

}  // namespace registryfs
