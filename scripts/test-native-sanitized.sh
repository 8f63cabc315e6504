#!/usr/bin/env bash
# Usage: test-native-sanitized.sh [TEST...]   (default: every test/native/*.test.ts but the fuzzers', which have their own)
# Runs the tests of the addon with AddressSanitizer and UndefinedBehaviorSanitizer, and its threads without Node with
# ThreadSanitizer and LeakSanitizer. Works in a copy: native/build and build stay as they are.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t tests < <(if (($# > 0)); then printf '%s\n' "$@"; else LC_ALL=C ls test/native/*.test.ts | grep -v /fuzz.test.ts; fi)

copy=$(mktemp -d "${TMPDIR:-/tmp}/registryfs-sanitized.XXXXXX")
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/native" "$copy/scripts"
cp -r native/*.cc native/*.h native/binding.gyp "$copy/native"
cp -r src test package.json tsconfig.json "$copy"
cp scripts/build-native.sh "$copy/scripts"
ln -s "$PWD/node_modules" "$copy/node_modules"
cd "$copy"
die() {
  echo "test-native-sanitized: $*" >&2
  exit 1
}

# 1. The decoder alone, against zlib.
if [[ -f /usr/include/zlib.h ]]; then
  echo '== decoder alone: AddressSanitizer, UndefinedBehaviorSanitizer'
  g++ -std=c++17 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined \
    -o decoder-fuzz test/native/decoder_fuzz.cc native/deflate_*.cc -lz
  ./decoder-fuzz "${REGISTRYFS_FUZZ_SECONDS:-60}"
else
  echo '== decoder alone: left out (apt-get install zlib1g-dev)'
fi

# 2. The threads alone: a race or a leak ends the program with a report.
stress() {
  local name=$1 canary=$2
  shift 2
  g++ -std=c++17 -O1 -g -fno-omit-frame-pointer -pthread -DPASS_STRESS_CANARY "$@" -o "$name" \
    test/native/pass_stress.cc native/{crc32,running_crc32,gzip_header,hash_lane,inflate_pass,pass_points}.cc native/deflate_*.cc \
    native/{copy_pass,reference_marker,span_inflater,sparse_block,sparse_window,window_maker,zero_scanner,zlib_inflater,zstd_decoder,zstd_frames,zstd_pass}.cc \
    -lcrypto -lz -lzstd
  if "./$name" canary >canary.log 2>&1 || ! grep -q "$canary" canary.log; then
    cat canary.log
    die "$name does not find what it must find"
  fi
  "./$name"
  g++ -std=c++17 -O1 -g -fno-omit-frame-pointer -pthread "$@" -o "$name-channel" \
    test/native/channel_stress.cc native/fuse_{channel,receiver}.cc native/{parked_reads,resident_answer,resident_spans}.cc
  if "./$name-channel" canary >canary.log 2>&1 || ! grep -q "$canary" canary.log; then
    cat canary.log
    die "$name-channel does not find what it must find"
  fi
  "./$name-channel"
  g++ -std=c++17 -O1 -g -fno-omit-frame-pointer -pthread "$@" -o "$name-resident" \
    test/native/resident_stress.cc native/fuse_{channel,receiver}.cc native/{parked_reads,resident_answer,resident_spans}.cc
  "./$name-resident"
  g++ -std=c++17 -O1 -g -fno-omit-frame-pointer -pthread "$@" -o "$name-bare" \
    test/native/bare_stress.cc native/fuse_{channel,receiver}.cc native/{parked_reads,resident_answer,resident_spans}.cc
  "./$name-bare"
  g++ -std=c++17 -O1 -g -fno-omit-frame-pointer -pthread "$@" -o "$name-parked" \
    test/native/parked_stress.cc native/fuse_{channel,receiver}.cc native/{parked_reads,resident_answer,resident_spans}.cc
  "./$name-parked"
}
if [[ -f /usr/include/zlib.h && -f /usr/include/zstd.h && -f /usr/include/openssl/sha.h ]]; then
  echo '== threads alone: ThreadSanitizer'
  stress stress-thread 'data race' -fsanitize=thread
  echo '== threads alone: AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer'
  stress stress-address 'detected memory leaks' -fsanitize=address,undefined -fno-sanitize-recover=undefined
else
  echo '== threads alone: left out (apt-get install zlib1g-dev libzstd-dev libssl-dev)'
fi

# 3. The addon in Node. Its leaks are not looked for here: Node takes it out of memory before the report, and has
# leaks and races of its own to tell.
echo '== in Node: AddressSanitizer, UndefinedBehaviorSanitizer'
GYP_DEFINES=sanitize=1 scripts/build-native.sh >build.log 2>&1 || {
  tail -n 30 build.log
  die 'the addon does not build'
}
addon=native/build/Release/registryfs.node
[[ $(nm -D "$addon") == *__asan_report* ]] || die 'the addon was not built with AddressSanitizer'
node_modules/.bin/tsc --outDir build --tsBuildInfoFile build/info --noCheck --incremental

# Node is not built with it, so the library comes first.
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)"
ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:quarantine_size_mb=16
UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1
export LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS REGISTRYFS_SANITIZED=1

# Libraries whose loading is an error of some kind, in a Node that has the addon.
canary() {
  local name=$1 code=$2
  echo "#include <cstdlib>
    static volatile char* bytes = static_cast<char*>(malloc(3));
    static volatile int three = 3;
    __attribute__((constructor(65535))) static void Canary() { $code }" >"$name.cc"
  LD_PRELOAD='' g++ -shared -fPIC -fsanitize=address,undefined -o "$name.so" "$name.cc"
  (ulimit -c 0; node -e "require('./$addon'); process.dlopen({ exports: {} }, './$name.so')") >canary.log 2>&1 || true
}
found() {
  grep -q "$1" canary.log || {
    cat canary.log
    die "nobody finds the $1"
  }
}
canary overflow 'bytes = static_cast<char*>(malloc(3)); bytes[three] = 1;'
found 'AddressSanitizer: heap-buffer-overflow'
canary freed 'bytes = static_cast<char*>(malloc(3)); free((void*)bytes); bytes[0] = 1;'
found 'AddressSanitizer: heap-use-after-free'
canary shift 'three = 1 << (three * 20);'
found 'runtime error: shift exponent'
echo 'an overflow, a use after free and a bad shift are found'

files=("${tests[@]/#/build/}")
node --enable-source-maps --test --test-reporter=spec --test-concurrency=1 --test-timeout=1800000 "${files[@]/%.ts/.js}"
