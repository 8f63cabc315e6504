#!/usr/bin/env bash
# Usage: run-tests.sh CONCURRENCY TIMEOUT_SECONDS FOLDER...
# Runs the compiled tests of some folders, one after another, in files named after the sources: what was deleted there is
# not run. Two files at a time share nothing but processors and disk: each has its own ports, directories and mounts.
# The timeout is one test's; for Node 20 it is the whole file's.
set -euo pipefail
cd "$(dirname "$0")/.."
concurrency=$1 timeout_seconds=$2
shift 2

mapfile -t sources < <(for folder in "$@"; do find "$folder" -name '*.test.ts' | LC_ALL=C sort; done)
if ((${#sources[@]} == 0)); then
  echo "registryfs: no tests in $*" >&2
  exit 1
fi
files=("${sources[@]/#/build/}")
echo "${#files[@]} test files of $* with Node $(node --version)"
exec node --enable-source-maps --test --test-reporter=spec --test-concurrency="$concurrency" \
  --test-timeout=$((timeout_seconds * 1000)) "${files[@]/%.ts/.js}"
