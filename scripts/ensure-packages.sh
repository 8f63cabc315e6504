#!/usr/bin/env bash
# Usage: ensure-packages.sh PACKAGE...
# Makes sure that Debian or Ubuntu packages are there; asks no network when they are. SKIP_PACKAGES=1 believes that all
# of it is there under whatever name, for other distributions.
set -euo pipefail

[[ ${SKIP_PACKAGES:-} != 1 ]] || exit 0

# Names of the same thing in other releases: libfuse2 is called libfuse2t64 since the move to a 64-bit time_t.
names_of() {
  case $1 in
    libfuse2) echo libfuse2 libfuse2t64 ;;
    nginx) echo nginx nginx-light ;;
    libclang-rt-14-dev) echo libclang-rt-14-dev libclang-rt-18-dev libclang-rt-19-dev ;;
    golang-1.19-src) echo golang-1.19-src golang-1.22-src golang-1.18-src ;;
    libpython3.11-testsuite) echo libpython3.11-testsuite libpython3.12-testsuite libpython3.10-testsuite ;;
    *) echo "$1" ;;
  esac
}

is_installed() {
  local name
  for name in $(names_of "$1"); do
    if [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]]; then return 0; fi
  done
  return 1
}

missing() {
  local package
  for package in "$@"; do
    if ! is_installed "$package"; then echo "$package"; fi
  done
}

# The first of a package's names that this release has a version of.
available_name() {
  local name
  for name in $(names_of "$1"); do
    if LC_ALL=C apt-cache policy "$name" 2>/dev/null | grep -q 'Candidate: [^(]'; then
      echo "$name"
      return
    fi
  done
  echo "$1"
}

give_up() {
  {
    echo "registryfs: $1"
    echo "  please install what is called here: ${wanted[*]}"
    echo '  (SKIP_PACKAGES=1 make ... goes on without this check, where they have other names)'
  } >&2
  exit 1
}

mapfile -t wanted < <(missing "$@")
if ((${#wanted[@]} == 0)); then exit 0; fi

command -v apt-get >/dev/null || give_up 'some packages are missing, and this system has no apt-get'
as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || give_up 'some packages are missing, and installing them takes root or sudo'
  as_root=(sudo)
fi

echo "registryfs: installing ${wanted[*]}" >&2
"${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update >&2 || give_up 'apt-get update failed'
names=()
for package in "${wanted[@]}"; do names+=("$(available_name "$package")"); done
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${names[@]}" >&2 ||
  give_up 'apt-get install failed'
