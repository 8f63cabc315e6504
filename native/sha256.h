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

  void Reset() { SHA256_Init(&context_); }

  const SHA256_CTX& context() const { return context_; }
  void set_context(const SHA256_CTX& context) { context_ = context; }

 private:
  SHA256_CTX context_;
};

}  // namespace registryfs
