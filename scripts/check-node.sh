#!/bin/sh
# A plain message when Node or npm is missing or too old; package.json's "engines" has the same number.
wanted=20.18.1
if ! command -v node >/dev/null; then
  echo "registryfs: Node.js is missing: install $wanted or newer (https://nodejs.org)" >&2
  exit 1
fi
version=$(node -p process.versions.node)
if [ "$(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1)" != "$wanted" ]; then
  echo "registryfs: Node.js $version is too old: install $wanted or newer (https://nodejs.org)" >&2
  exit 1
fi
if ! command -v npm >/dev/null; then
  echo 'registryfs: npm is missing: it comes with Node.js, or as the package npm' >&2
  exit 1
fi
