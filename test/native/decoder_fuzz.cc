// The decoder against zlib: streams of zlib's with any parameters, streams made bit by bit, and damage to
// both. decoder_fuzz SECONDS [SEED]; scripts/test-native-sanitized.sh. fuzz/deflate_fuzzer.cc does the same
// with libFuzzer's streams.
#include <chrono>
#include <csignal>
#include <map>

#include "deflate_oracle.h"

namespace {

// Of the present stream; `decoder_fuzz 0 SEED` repeats it.
uint64_t seed = 0;

void TellSeed(int) {
  std::fprintf(stderr, "decoder_fuzz: seed %llu\n", static_cast<unsigned long long>(seed));
}

std::string CheckOne() {
  registryfs::Random random(seed);
  registryfs::Bytes stream = registryfs::SomeStream(&random);
  if (random.OneIn(2)) registryfs::Damage(&stream, &random);
  return registryfs::CheckAgainstZlib(stream, &random);
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 10;
  const auto start = std::chrono::steady_clock::now();
  seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::random_device()() * uint64_t{1000000};
  std::signal(SIGABRT, TellSeed);
  std::map<std::string, size_t> ends;
  do {
    ends[CheckOne()]++;
    ++seed;
  } while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds);
  for (const auto& [end, count] : ends) std::printf("%8zu %s\n", count, end.c_str());
  std::puts("decoder_fuzz: well");
  return 0;
}
