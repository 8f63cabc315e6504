#!/usr/bin/env bash
# Usage: install.sh DESTDIR PREFIX SBINDIR
# Lays out PREFIX/lib/registryfs as the checkout is, with production modules only, and links to its bin/registryfs.
set -euo pipefail
cd "$(dirname "$0")/.."
destdir=$1 prefix=$2 sbindir=$3
library=$prefix/lib/registryfs
target=$destdir$library

rm -rf "$target"
install -d "$target/bin" "$target/build" "$target/native/build/Release" "$destdir$prefix/bin" "$destdir$sbindir"
install -m 755 bin/registryfs "$target/bin/registryfs"
install -m 644 package.json LICENSE "$target"
install -m 644 bin/package.json "$target/bin"
install -m 644 build/registryfs.cjs build/registryfs.cjs.LEGAL.txt build/registryfs.code "$target/build"
install -m 755 native/build/Release/*.node "$target/native/build/Release"

# The first line is the project itself.
npm ls --omit=dev --all --parseable | tail -n +2 | sed "s|^$PWD/||" | while read -r module; do
  cp -r --no-preserve=ownership --parents "$module" "$target"
done

ln -sfn "$library/bin/registryfs" "$destdir$prefix/bin/registryfs"
ln -sfn "$library/bin/registryfs" "$destdir$sbindir/mount.fuse.registryfs"
