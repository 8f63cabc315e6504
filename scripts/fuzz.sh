#!/usr/bin/env bash
# Usage: fuzz.sh [SECONDS [FUZZER...]]   (default: 60, for each of tar, umoci, deflate, inflate, zstd, pass)
# Fuzzes the tar reader, images of several layers against umoci, and the decoders of the addon with AddressSanitizer and UndefinedBehaviorSanitizer, from the corpus in
# test/native/fuzz/corpus on. An input that ends one is left behind and named; it becomes a test. SEED=N begins as an
# earlier run did; KEEP=1 puts what reached new code into the corpus, and leaves out what no longer adds to it.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
fuzzers=("${@:2}")
if ((${#fuzzers[@]} == 0)); then fuzzers=(tar umoci deflate inflate zstd pass); fi
work=$(mktemp -d "${TMPDIR:-/tmp}/registryfs-fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT

flags=(-std=c++17 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all -pthread)
decoders=(deflate_codes deflate_decoder deflate_loop crc32 running_crc32 span_inflater span_stream gzip_header reference_marker zstd_decoder
  zstd_frames hash_lane inflate_pass pass_points sparse_block sparse_window window_maker zero_scanner copy_pass zlib_inflater zstd_pass)
# An input longer than that does not reach more.
most_bytes=16384
corpus=test/native/fuzz/corpus

# A test of Node's; also within a test, where a runner inside of a runner would run nothing.
fuzz_by_test() {
  local name=$1 file=$2
  env -u NODE_TEST_CONTEXT node --enable-source-maps --test --test-reporter=tap "build/test/oracles/$file" >"$work/$name.log" || {
    tail -n 60 "$work/$name.log"
    echo "fuzz: $name has found something" >&2
    exit 1
  }
  grep '^ *# SEED' "$work/$name.log"
}

fuzz_tar() {
  FUZZ_SECONDS=$seconds fuzz_by_test tar tar-fuzz.test.js
}

# Five a second or so.
fuzz_umoci() {
  SEED=${SEED:-$RANDOM$RANDOM} IMAGES=$((seconds * 5)) fuzz_by_test umoci umoci-images.test.js
}

# Once for all fuzzers.
compile() {
  [[ ! -f $work/decoders.a ]] || return 0
  printf '%s\n' "${decoders[@]}" | xargs -P "$(nproc)" -I{} \
    clang++ "${flags[@]}" -fsanitize=fuzzer-no-link,address,undefined -c -o "$work/{}.o" "native/{}.cc"
  ar rcs "$work/decoders.a" "$work"/*.o
}

fuzz_decoder() {
  local name=$1 inputs=$work/inputs-$1
  compile
  clang++ "${flags[@]}" -fsanitize=fuzzer,address,undefined -o "$work/$name" "test/native/fuzz/${name}_fuzzer.cc" \
    "$work/decoders.a" -lzstd -lcrypto -lz
  mkdir "$inputs"
  tar -C "$inputs" --zstd -xf "$corpus/$name.tar.zst"
  local log=$work/$name.log
  "$work/$name" -max_total_time="$seconds" -max_len=$most_bytes -rss_limit_mb=1500 -timeout=20 -verbosity=0 -print_final_stats=1 \
    -seed="${SEED:-0}" -artifact_prefix="./crash-$name-" "$inputs" >"$log" 2>&1 || {
    tail -n 60 "$log"
    echo "fuzz: $name has found something" >&2
    exit 1
  }
  grep -E 'stat::(number_of_executed_units|peak_rss_mb)' "$log"
  if [[ ${KEEP:-} == 1 ]]; then keep "$name" "$inputs"; fi
}

keep() {
  local name=$1 inputs=$2
  mkdir "$work/kept-$name"
  "$work/$name" -merge=1 -max_len=$most_bytes -verbosity=0 "$work/kept-$name" "$inputs" >"$work/merge.log" 2>&1
  tar -C "$work/kept-$name" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -c . |
    zstd -q -19 -f -o "$corpus/$name.tar.zst"
  echo "$(find "$work/kept-$name" -type f | wc -l) inputs kept, $(stat -c %s "$corpus/$name.tar.zst") bytes"
}

for name in "${fuzzers[@]}"; do
  echo "== $name, $seconds s"
  case $name in
    tar | umoci) "fuzz_$name" ;;
    *) fuzz_decoder "$name" ;;
  esac
done
