#include "crc32.h"

#include <zlib.h>

#include <algorithm>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace registryfs {

namespace {

uint32_t ByZlib(uint32_t crc, const uint8_t* data, size_t length) {
  constexpr size_t kMost = 1u << 30;  // uInt
  for (; length > kMost; data += kMost, length -= kMost) crc = static_cast<uint32_t>(crc32(crc, data, kMost));
  return static_cast<uint32_t>(crc32(crc, data, static_cast<uInt>(length)));
}

#ifdef __x86_64__

// "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009: the constants are
// those of its appendix for the reflected polynomial of gzip. The message is folded by 64 bytes, then by 16,
// and what is left of it is reduced after Barrett.
__attribute__((target("pclmul,sse4.1"))) __m128i Fold(__m128i value, __m128i constants, __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(value, constants, 0x00);
  const __m128i high = _mm_clmulepi64_si128(value, constants, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("pclmul,sse4.1"))) __m128i Load(const uint8_t* data) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
}

// `length`: at least 64, a multiple of 16.
__attribute__((target("pclmul,sse4.1"))) uint32_t ByFolding(uint32_t crc, const uint8_t* data,
                                                            size_t length) {
  const __m128i by64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  const __m128i by8 = _mm_set_epi64x(0, 0x0163cd6124);
  const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  const __m128i low32 = _mm_setr_epi32(~0, 0, ~0, 0);

  __m128i a = _mm_xor_si128(Load(data), _mm_cvtsi32_si128(static_cast<int>(~crc)));
  __m128i b = Load(data + 16);
  __m128i c = Load(data + 32);
  __m128i d = Load(data + 48);
  for (data += 64, length -= 64; length >= 64; data += 64, length -= 64) {
    a = Fold(a, by64, Load(data));
    b = Fold(b, by64, Load(data + 16));
    c = Fold(c, by64, Load(data + 32));
    d = Fold(d, by64, Load(data + 48));
  }
  a = Fold(Fold(Fold(a, by16, b), by16, c), by16, d);
  for (; length >= 16; data += 16, length -= 16) a = Fold(a, by16, Load(data));

  a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by16, 0x10));
  a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, low32), by8, 0x00));
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(a, low32), barrett, 0x10);
  quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, low32), barrett, 0x00);
  return ~static_cast<uint32_t>(_mm_extract_epi32(_mm_xor_si128(a, quotient), 1));
}

bool HasFolding() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

const bool hasFolding = HasFolding();

#endif

}  // namespace

uint32_t UpdateCrc32(uint32_t crc, const uint8_t* data, size_t length) {
#ifdef __x86_64__
  if (hasFolding && length >= 64) {
    const size_t folded = length & ~static_cast<size_t>(15);
    crc = ByFolding(crc, data, folded);
    data += folded;
    length -= folded;
  }
#endif
  return length == 0 ? crc : ByZlib(crc, data, length);
}

}  // namespace registryfs
