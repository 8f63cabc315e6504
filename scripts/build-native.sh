#!/usr/bin/env bash
# Builds the addon into native/build/Release with npm's own node-gyp. Where Node has its headers beside it they are
# used, so that nothing is downloaded; the addon speaks N-API, any Node loads it.
set -euo pipefail
cd "$(dirname "$0")/.."

npm_root=$(npm root -g 2>/dev/null)
for gyp in "$npm_root/npm/node_modules/node-gyp/bin/node-gyp.js" /usr/share/nodejs/node-gyp/bin/node-gyp.js; do
  if [[ -f $gyp ]]; then break; fi
done
if [[ ! -f $gyp ]]; then
  echo 'registryfs: npm has no node-gyp here: install npm as it comes with Node.js' >&2
  exit 1
fi

prefix=$(node -p "path.resolve(path.dirname(fs.realpathSync(process.execPath)), '..')")
headers=()
if [[ -f $prefix/include/node/node_api.h ]]; then headers=("--nodedir=$prefix"); fi
exec node "$gyp" rebuild -C native --loglevel=warn "${headers[@]}"
