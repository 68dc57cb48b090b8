#!/usr/bin/env bash
# Makes the pinned libtorch (third_party/libtorch.lock) available and prints its folder on standard output.
#
#   fetch-libtorch.sh [--arch x86_64|aarch64]
#
# Looked for in this order; the first that is there and right wins:
#   1. $LIBTORCH, a folder of your own with include/ and lib/;
#   2. the cache, ${XDG_CACHE_HOME:-~/.cache}/vidi;
#   3. a zip of the public release that you put into the cache's downloads/ folder by hand (machines without a network);
#   4. the public release, from download.pytorch.org;
#   5. the same libraries as packages: Maven (client: mvn) for the libraries, PyPI (client: pip) for the headers.
# Everything downloaded is checked before it is used, and is moved into place in one step: an interrupted run leaves
# nothing half-installed, the next one goes on where it stopped. A mismatch ends the run.
#
# VIDI_LIBTORCH_URL replaces the public release's address (a mirror, a test server).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=libtorch.lock
. "$here/libtorch.lock"

say() { printf 'libtorch: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

arch=$(uname -m)
[ "${1:-}" = --arch ] && arch=$2
case $arch in
  x86_64 | amd64)  arch=x86_64  url=${VIDI_LIBTORCH_URL:-$RELEASE_URL_X86_64}
                   classifier=$MAVEN_CLASSIFIER_X86_64 jar_sha=$MAVEN_SHA256_X86_64 so_sha=$LIBTORCH_CPU_SHA256_X86_64 ;;
  aarch64 | arm64) arch=aarch64 url=${VIDI_LIBTORCH_URL:-}
                   classifier=$MAVEN_CLASSIFIER_AARCH64 jar_sha=$MAVEN_SHA256_AARCH64 so_sha=$LIBTORCH_CPU_SHA256_AARCH64 ;;
  *) die "there is no libtorch for $arch; vidi runs on x86-64 and aarch64" ;;
esac
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vidi
target=$cache/libtorch-$VERSION-cpu-$arch
downloads=$cache/downloads

digest() { sha256sum "$1" | cut -d' ' -f1; }

# expect WHAT FILE WANTED: ends the run, and removes the file, unless it has the SHA-256 that the lock names.
expect() {
  local got; got=$(digest "$2")
  [ "$got" = "$3" ] && return
  rm -f "$2"
  die "$1 has the wrong SHA-256: expected $3, got $got. The file was removed; run again, and if it happens again do not trust the source."
}

# check FOLDER: is this the pinned version? Prints what was found wrong and fails if not.
check() {
  local dir=$1 version
  [ -f "$dir/include/torch/csrc/api/include/torch/version.h" ] || { say "$dir has no headers (include/torch/…)"; return 1; }
  [ -f "$dir/lib/libtorch_cpu.so" ] || { say "$dir has no lib/libtorch_cpu.so"; return 1; }
  version=$(sed -n 's/^ *"\([0-9.]*\).*"$/\1/p' "$dir/include/torch/csrc/api/include/torch/version.h" | head -n 1)
  [ "$version" = "$VERSION" ] || { say "$dir is libtorch $version; vidi is built with $VERSION"; return 1; }
}

# install STAGED NOTE: the last step of every route.
install_staged() {
  check "$1" || die "what was unpacked is not libtorch $VERSION; nothing was installed"
  if [ -n "$so_sha" ]; then expect "libtorch_cpu.so" "$1/lib/libtorch_cpu.so" "$so_sha"; fi
  printf '%s\n' "$2" >"$1/SOURCE"
  rm -rf "$target"
  mv "$1" "$target"
  say "$2"
}

from_release_zip() { # ZIP
  local zip=$1 stage=$cache/stage-$$
  say "unpacking $(basename "$zip")"
  unzip -tqq "$zip" >/dev/null 2>&1 || { rm -f "$zip"; die "$(basename "$zip") is damaged; it was removed, run again"; }
  rm -rf "$stage"; mkdir -p "$stage"
  unzip -qq "$zip" -d "$stage"
  [ -f "$stage/libtorch/build-version" ] || die "$(basename "$zip") has no libtorch/build-version: not a libtorch release"
  case $(cat "$stage/libtorch/build-version") in
    "$VERSION" | "$VERSION"+cpu*) ;;
    *) die "$(basename "$zip") is libtorch $(cat "$stage/libtorch/build-version"), wanted $VERSION+cpu" ;;
  esac
  install_staged "$stage/libtorch" "libtorch $VERSION from the public release; checked: build-version and the SHA-256 of libtorch_cpu.so"
}

from_packages() {
  local stage=$cache/stage-$$/libtorch jar wheel
  command -v mvn >/dev/null || "$here/system-packages.sh" maven || die "no Maven client (mvn) to fetch the package with"
  local pip=(python3 -m pip)
  "${pip[@]}" --version >/dev/null 2>&1 || "$here/system-packages.sh" python3-pip || die "no pip to fetch the headers with"
  "${pip[@]}" --version >/dev/null 2>&1 || pip=(/usr/bin/python3 -m pip)

  jar=$downloads/pytorch-native-cpu-$VERSION-$classifier.jar
  if [ ! -f "$jar" ]; then
    say "fetching $MAVEN_ARTIFACT:$classifier (112 MB) with mvn"
    mkdir -p "$downloads/part"
    mvn -q -B dependency:copy "-Dartifact=$MAVEN_ARTIFACT:$classifier" "-DoutputDirectory=$downloads/part" >&2 ||
      die "neither download.pytorch.org nor Maven's registry could be reached. On a machine without a network, copy $(basename "${RELEASE_URL_X86_64//%2B/+}") to $downloads, or set LIBTORCH to an unpacked copy"
    expect "the Maven package" "$downloads/part/$(basename "$jar")" "$jar_sha"
    mv "$downloads/part/$(basename "$jar")" "$jar"
  fi
  expect "the Maven package" "$jar" "$jar_sha"

  wheel=$(find "$downloads" -maxdepth 1 -name "torch-$VERSION-*$PYPI_PLATFORM.whl" | head -n 1)
  if [ -z "$wheel" ]; then
    say "fetching the headers, PyPI package $PYPI_PACKAGE (69 MB), with pip"
    rm -rf "$downloads/part"; mkdir -p "$downloads/part"
    "${pip[@]}" download -q "$PYPI_PACKAGE" --platform "$PYPI_PLATFORM" --python-version "$PYPI_PYTHON" \
      --only-binary=:all: --no-deps -d "$downloads/part" >&2 || die "pip could not fetch $PYPI_PACKAGE; is there a network?"
    wheel=$(find "$downloads/part" -name '*.whl' | head -n 1)
    expect "the PyPI package" "$wheel" "$PYPI_SHA256"
    mv "$wheel" "$downloads/"
    wheel=$downloads/$(basename "$wheel")
  fi
  expect "the PyPI package" "$wheel" "$PYPI_SHA256"

  rm -rf "$stage"; mkdir -p "$stage/lib"
  unzip -qq -j "$jar" "pytorch/cpu/$classifier/*" -d "$stage/lib"
  unzip -qq "$wheel" 'torch/include/*' '*.dist-info/LICENSE' -d "$stage/wheel"
  mv "$stage/wheel/torch/include" "$stage/include"
  mv "$stage"/wheel/*.dist-info/LICENSE "$stage/LICENSE"
  rm -rf "$stage/wheel"
  printf '%s+cpu\n' "$VERSION" >"$stage/build-version"
  install_staged "$stage" "libtorch $VERSION from the Maven and PyPI packages; checked: SHA-256 of both packages${so_sha:+ and of libtorch_cpu.so}"
  rm -f "$jar" "$wheel"  # 180 MB that the installed copy no longer needs
}

if [ -n "${LIBTORCH:-}" ]; then
  check "$LIBTORCH" || die "LIBTORCH=$LIBTORCH cannot be used (unset it to let this script fetch one)"
  if [ -n "$so_sha" ] && [ "$(digest "$LIBTORCH/lib/libtorch_cpu.so")" != "$so_sha" ]; then
    die "LIBTORCH=$LIBTORCH is version $VERSION, but its libtorch_cpu.so is not the pinned build (SHA-256 differs from third_party/libtorch.lock)"
  fi
  printf '%s\n' "$LIBTORCH"
  exit
fi

mkdir -p "$downloads"
exec 9>"$cache/lock"
flock -n 9 || { say "another run is fetching; waiting for it"; flock 9; }
trap 'rm -rf "$cache/stage-$$"' EXIT
find "$cache" -maxdepth 1 -name 'stage-*' -mmin +120 -exec rm -rf {} +  # left by a run that was killed

if [ -f "$target/SOURCE" ] && check "$target"; then printf '%s\n' "$target"; exit; fi
command -v unzip >/dev/null || die "unzip is missing: apt-get install unzip"

zip=$downloads/libtorch-cxx11-abi-shared-with-deps-$VERSION+cpu.zip
if [ ! -f "$zip" ] && [ -n "$url" ] && command -v curl >/dev/null; then
  say "fetching libtorch $VERSION (about 180 MB) from ${url%%\?*}"
  progress=(--silent --show-error); [ -t 2 ] && progress=(--progress-bar)
  # -C - goes on with a half-finished .part; a server that cannot resume answers 33 or 416, then it starts afresh.
  if curl -fL --connect-timeout 5 --retry 2 "${progress[@]}" -C - -o "$zip.part" "$url" >&2; then mv "$zip.part" "$zip"
  else
    code=$?
    case $code in
      6 | 7 | 28 | 35) say "the release's host is out of reach; using the packages instead" ;;
      22 | 33) rm -f "$zip.part"; say "the release could not be fetched (curl error $code); using the packages instead" ;;
      *) die "the download broke off (curl error $code); run again to go on from $(du -h "$zip.part" 2>/dev/null | cut -f1)" ;;
    esac
  fi
fi
if [ -f "$zip" ]; then from_release_zip "$zip"; else from_packages; fi
printf '%s\n' "$target"
