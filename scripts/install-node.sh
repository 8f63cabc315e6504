#!/usr/bin/env bash
# Usage: install-node.sh VERSION
# Puts another Node's binary into .deps/node-VERSION, from the npm registry, and prints the directory it is in.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
package=node-linux-$(node -p process.arch)
folder=.deps/node-$version
bin=$PWD/$folder/node_modules/$package/bin
if [[ ! -x $bin/node ]]; then
  mkdir -p "$folder"
  # The package "node" only downloads this one in an install script.
  npm install --prefix "$folder" --ignore-scripts --no-save "$package@$version" >&2
fi
echo "$bin"
