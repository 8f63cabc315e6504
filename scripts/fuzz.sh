#!/usr/bin/env bash
# Usage: fuzz.sh [SECONDS]   (default: 60, for each fuzzer)
# Fuzzes the tar reader, and the decoders of the addon with AddressSanitizer and UndefinedBehaviorSanitizer. An input that ends one is left
# behind and named; it becomes a test. SEED=N begins as an earlier run did.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
work=$(mktemp -d "${TMPDIR:-/tmp}/registryfs-fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT

seeds() {
  local name=$1 corpus=$work/corpus-$1
  mkdir "$corpus"
  head -c 60000 native/inflate_pass.cc >"$work/text"
  { cat "$work/text"; head -c 20000 /dev/zero; cat "$work/text"; } >"$work/mixed"
  case $name in
    inflate)
      for level in 1 6 9; do gzip -$level -c "$work/mixed" >"$corpus/gzip-$level"; done
      { gzip -c "$work/text"; gzip -9 -c native/sha256.h; } >"$corpus/members"
      ;;
    zstd)
      # Two bytes say how it is cut.
      { printf '\012\012'; zstd -q -c "$work/mixed"; } >"$corpus/one"
      { printf '\001\377'; zstd -q -c "$work/text"; printf '\120\052\115\030\003\000\000\000abc'; zstd -q -19 -c native/sha256.h; } >"$corpus/frames"
      ;;
    pass)
      { printf '\000\011'; gzip -c "$work/mixed"; gzip -1 -c "$work/text"; } >"$corpus/gzip"
      { printf '\001\012'; zstd -q -c "$work/mixed"; zstd -q -1 -c "$work/text"; } >"$corpus/zstd"
      { printf '\002\013'; cat "$work/text"; } >"$corpus/plain"
      ;;
  esac
}

fuzz() {
  local name=$1
  shift
  seeds "$name"
  echo "== $name, ${seconds} s"
  clang++ -std=c++17 -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -pthread \
    -o "$work/$name" "test/native/fuzz/${name}_fuzzer.cc" "$@" -lzstd -lcrypto -lz
  local log=$work/$name.log
  "$work/$name" -max_total_time="$seconds" -max_len=70000 -rss_limit_mb=1500 -timeout=20 -verbosity=0 -print_final_stats=1 \
    -seed="${SEED:-0}" -artifact_prefix="./crash-$name-" "$work/corpus-$name" >"$log" 2>&1 || {
    tail -n 60 "$log"
    echo "fuzz: $name has found something" >&2
    exit 1
  }
  grep -E 'stat::(number_of_executed_units|peak_rss_mb)' "$log"
}

echo "== tar, $seconds s"
# Also within a test: a runner inside of a runner runs nothing.
FUZZ_SECONDS=$seconds env -u NODE_TEST_CONTEXT node --enable-source-maps --test build/test/oracles/tar-fuzz.test.js >"$work/tar.log" || {
  tail -n 60 "$work/tar.log"
  echo 'fuzz: tar has found something' >&2
  exit 1
}
grep '^# SEED' "$work/tar.log"

deflate=(native/deflate_codes.cc native/deflate_decoder.cc native/deflate_loop.cc native/crc32.cc native/running_crc32.cc)
zstd=(native/zstd_decoder.cc native/zstd_frames.cc)
fuzz inflate native/{span_inflater,gzip_header,reference_marker}.cc "${deflate[@]}"
fuzz zstd "${zstd[@]}"
fuzz pass native/{span_inflater,gzip_header,reference_marker,hash_lane,inflate_pass,pass_points,window_maker,zero_scanner,copy_pass,zstd_pass}.cc \
  "${deflate[@]}" "${zstd[@]}"
