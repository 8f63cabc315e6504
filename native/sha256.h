#pragma once

// The low-level functions are deprecated in favour of EVP, whose state cannot be saved; a checkpoint must
// save it.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace registryfs {

class Sha256 {
 public:
  Sha256() { SHA256_Init(&context_); }

  void Update(const void* data, size_t length) { SHA256_Update(&context_, data, length); }

  // Leaves the state as it is.
  std::array<uint8_t, 32> Digest() const {
    SHA256_CTX copy = context_;
    std::array<uint8_t, 32> digest;
    SHA256_Final(digest.data(), &copy);
    return digest;
  }

  // After whole blocks of 64 bytes: all that later bytes depend on, apart from the length.
  std::array<uint8_t, 32> ChainingValue() const {
    std::array<uint8_t, 32> value;
    for (size_t i = 0; i < value.size(); ++i) {
      value[i] = static_cast<uint8_t>(context_.h[i / 4] >> (24 - 8 * (i % 4)));
    }
    return value;
  }

  // `value`: what ChainingValue returned after `bytes`.
  void GoOnAfter(const uint8_t* value, uint64_t bytes) {
    SHA256_Init(&context_);
    for (size_t i = 0; i < 8; ++i) {
      context_.h[i] = static_cast<uint32_t>(value[4 * i]) << 24 |
                      static_cast<uint32_t>(value[4 * i + 1]) << 16 |
                      static_cast<uint32_t>(value[4 * i + 2]) << 8 | value[4 * i + 3];
    }
    context_.Nl = static_cast<SHA_LONG>(bytes << 3);
    context_.Nh = static_cast<SHA_LONG>(bytes >> 29);
  }

  const SHA256_CTX& context() const { return context_; }
  void set_context(const SHA256_CTX& context) { context_ = context; }

 private:
  SHA256_CTX context_;
};

class Sha512 {
 public:
  Sha512() { SHA512_Init(&context_); }
  void Update(const void* data, size_t length) { SHA512_Update(&context_, data, length); }
  // 64 bytes; nothing may follow.
  void Finish(uint8_t* digest) { SHA512_Final(digest, &context_); }

 private:
  SHA512_CTX context_;
};

}  // namespace registryfs
