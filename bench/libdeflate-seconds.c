// libdeflate-seconds FILE.gz BYTES: the CPU seconds that libdeflate takes for one gzip member, all of it and all that
// comes out (BYTES) in memory already.
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char** argv) {
  struct stat status;
  FILE* const file = argc == 3 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL || fstat(fileno(file), &status) != 0) return 2;
  const size_t in_bytes = (size_t)status.st_size;
  const size_t out_bytes = (size_t)strtoull(argv[2], NULL, 10);
  unsigned char* const in = malloc(in_bytes);
  unsigned char* const out = malloc(out_bytes);
  if (in == NULL || out == NULL || fread(in, 1, in_bytes, file) != in_bytes) return 2;
  // Its pages are there before the clock runs.
  memset(out, 1, out_bytes);
  struct libdeflate_decompressor* const decompressor = libdeflate_alloc_decompressor();
  const double start = seconds();
  size_t made = 0;
  const enum libdeflate_result result =
      libdeflate_gzip_decompress(decompressor, in, in_bytes, out, out_bytes, &made);
  const double end = seconds();
  if (result != LIBDEFLATE_SUCCESS || made != out_bytes) return 1;
  printf("%.4f\n", end - start);
  return 0;
}
