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
# nothing half-installed, the next one goes on where it stopped. A mismatch ends the run. Every library in lib/ is checked each time,
# wherever it lies: users may write to the cache, and to a folder of their own.
#
# VIDI_LIBTORCH_URL replaces the public release's address (a mirror; none for the packages), VIDI_LIBTORCH_LOCK the lock file (a build
# of your own).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf 'libtorch: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

lock=${VIDI_LIBTORCH_LOCK:-$here/libtorch.lock}
[ -f "$lock" ] || die "there is no lock file $lock"
# shellcheck source-path=SCRIPTDIR source=libtorch.lock
. "$(realpath "$lock")"

arch=$(uname -m)
case $#:${1:-} in
  0:) ;;
  2:--arch) arch=$2 ;;
  *) die "usage: fetch-libtorch.sh [--arch x86_64|aarch64]" ;;
esac
case $arch in
  x86_64 | amd64)  arch=x86_64  release=libtorch-cxx11-abi-shared-with-deps-$VERSION+cpu.zip url=${VIDI_LIBTORCH_URL:-$RELEASE_URL_X86_64}
                   classifier=$MAVEN_CLASSIFIER_X86_64 jar_sha=$MAVEN_SHA256_X86_64 libraries=$LIBRARIES_X86_64 ;;
  aarch64 | arm64) arch=aarch64 release=libtorch-shared-with-deps-$VERSION+cpu-aarch64.zip url=${VIDI_LIBTORCH_URL:-}
                   classifier=$MAVEN_CLASSIFIER_AARCH64 jar_sha=$MAVEN_SHA256_AARCH64 libraries=$LIBRARIES_AARCH64 ;;
  *) die "there is no libtorch for $arch; vidi runs on x86-64 and aarch64" ;;
esac
cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME}/.cache}/vidi
target=$cache/libtorch-$VERSION-cpu-$arch
downloads=$cache/downloads
zip=$downloads/$release
stage=$cache/stage

offline() { # the last words of every run that found no source
  say "On a machine without a network, do one of these and run again:"
  [ $arch = aarch64 ] || say "  - put $release, from $RELEASE_URL_X86_64, into $downloads"
  say "  - copy the folder $target from a machine that has it"
  say "  - set LIBTORCH to a folder with libtorch $VERSION"
  exit 1
}

# 450 MB take openssl 0.3 s, and sha256sum of older systems 1.6 s.
if command -v openssl >/dev/null; then digest() { openssl dgst -r -sha256 "$1" | cut -c 1-64; }
else digest() { sha256sum "$1" | cut -c 1-64; }; fi

# A download that is no good goes, or the next run would stumble over it again.
reject() { # DOWNLOAD WHAT-IS-WRONG
  rm -f "$1"
  die "$(basename "$1") $2. It was removed and nothing was installed. Run again; if the same happens, do not trust where it came from."
}

expect() { # DOWNLOAD SHA256 FILE WHAT: ends the run unless FILE has the SHA-256 that the lock names
  local got; got=$(digest "$3")
  [ "$got" = "$2" ] || reject "$1" "$4 the wrong SHA-256: expected $2, got $got"
}

# check FOLDER: is this the pinned version, with the pinned libraries and no others? Says what is wrong, and fails, if not.
check() {
  local header=$1/include/torch/csrc/api/include/torch/version.h version wanted name got file right=0
  [ -f "$header" ] || { say "$1 has no headers (include/torch/…)"; return 1; }
  version=$(sed -n 's/^ *"\([0-9.]*\).*"$/\1/p' "$header" | head -n 1)
  [ "$version" = "$VERSION" ] || { say "$1 is libtorch $version; vidi is built with $VERSION"; return 1; }
  while read -r wanted name; do
    [ -n "$name" ] || continue
    if [ ! -f "$1/lib/$name" ]; then say "$1 has no lib/$name"; right=1; continue; fi
    got=$(digest "$1/lib/$name")
    [ "$got" = "$wanted" ] || { say "$1/lib/$name is not the pinned build: expected SHA-256 $wanted, got $got"; right=1; }
  done <<<"$libraries"
  for file in "$1"/lib/*.so*; do
    in_lock "$file" || { say "$file is not in $lock; nothing else may lie there, because the loader would take it"; right=1; }
  done
  return $right
}

# in_lock FILE: is a library of this name pinned?
in_lock() { [[ $libraries$'\n' = *"  $(basename "$1")"$'\n'* ]]; }

use_installed() { if [ -f "$target/SOURCE" ] && check "$target"; then printf '%s\n' "$target"; exit; fi; }

install_staged() { # FOLDER DOWNLOAD NOTE: the last step of every route
  local file
  # The release has libraries for tests and for Python too, which vidi does not load.
  for file in "$1"/lib/*; do in_lock "$file" || rm -rf "$file"; done
  check "$1" || reject "$2" "does not hold the libraries of $lock${hint:-}"
  printf '%s\n' "$3" >"$1/SOURCE"
  rm -rf "$target"
  mv "$1" "$target"
  say "$3"
}

# Fetches the release. What came before a break stays in the .part, and the next run goes on from there. Fails where the
# host is out of reach or does not have the file; ends the run when the connection breaks.
download() { # FROM
  local code status progress=(--silent --show-error)
  [ -t 2 ] && progress=(--progress-bar)
  say "fetching libtorch $VERSION (about 180 MB) from $1"
  while :; do
    code=0
    # No --retry: it would throw away what this try has added to the .part.
    status=$(curl -fL --connect-timeout 5 --speed-limit 1000 --speed-time 30 "${progress[@]}" -C - -w '%{http_code}' -o "$zip.part" "$url") || code=$?
    if [ $code = 0 ]; then mv "$zip.part" "$zip"; return; fi
    [ -s "$zip.part" ] || break
    [ $code = 33 ] || [ "$status" = 416 ] || break
    say "the server cannot go on with a half-finished download; starting afresh"
    rm "$zip.part"
  done
  case $code:$status in
    22:*) say "the server answered $status" ;;
    *:2??) die "the download broke off (curl error $code), nothing was installed; run again to go on after the $(du -h --apparent-size "$zip.part" | cut -f1) that are here" ;;
    *) say "that cannot be reached (curl error $code)" ;;
  esac
  return 1
}

from_release() { # FROM
  local version code=0
  [ "$(head -c 2 "$zip" | tr -d '\0')" = PK ] || reject "$zip" "is not a zip file (a login or error page in its place?)"
  say "unpacking $release"
  mkdir "$stage"
  unzip -qq "$zip" -d "$stage" </dev/null >&2 || code=$?
  [ $code != 50 ] || die "the disk is full: $cache needs 1 GB"
  [ $code = 0 ] || reject "$zip" "is damaged (unzip error $code)"
  version=$(cat "$stage/libtorch/build-version" 2>/dev/null) || reject "$zip" "has no libtorch/build-version, so it is not a libtorch release"
  case $version in
    "$VERSION" | "$VERSION"+cpu*) ;;
    *) reject "$zip" "is the wrong version: expected $VERSION+cpu, got $version" ;;
  esac
  local hint=" (VIDI_LIBTORCH_URL=none takes them from the packages instead)"
  install_staged "$stage/libtorch" "$zip" "libtorch $VERSION from $1; checked: build-version and the SHA-256 of every library"
  rm -f "$zip"  # 180 MB that the installed copy no longer needs
}

from_packages() {
  local jar=$downloads/pytorch-native-cpu-$VERSION-$classifier.jar wheel repository=() pip=(python3 -m pip)
  command -v mvn >/dev/null || "$here/system-packages.sh" maven || true
  command -v mvn >/dev/null || { say "there is no Maven client (mvn) to fetch the packages with"; offline; }
  "${pip[@]}" --version >/dev/null 2>&1 || pip=(/usr/bin/python3 -m pip)  # a python3 earlier on PATH may lack it
  "${pip[@]}" --version >/dev/null 2>&1 || "$here/system-packages.sh" python3-pip || true
  "${pip[@]}" --version >/dev/null 2>&1 || { say "there is no pip to fetch the headers with"; offline; }
  mkdir "$stage"

  if [ ! -f "$jar" ]; then
    say "fetching the libraries, Maven package $MAVEN_ARTIFACT:$classifier (112 MB), with mvn"
    # Java takes the home folder from the user database; a container's user may have none there.
    [ -w "$(getent passwd "$(id -u)" | cut -d: -f6)" ] || repository=("-Dmaven.repo.local=$stage/m2")
    # Debian's mvn colours its output even where told not to.
    mvn -q -B "${repository[@]}" dependency:copy "-Dartifact=$MAVEN_ARTIFACT:$classifier" "-DoutputDirectory=$stage/part" 2>&1 | sed $'s/\e\\[[0-9;]*m//g' >&2 ||
      { say "mvn could not fetch them (it says above why)"; offline; }
    mv "$stage/part/$(basename "$jar")" "$jar"
  fi
  expect "$jar" "$jar_sha" "$jar" has

  wheel=$(find "$downloads" -maxdepth 1 -name "torch-$VERSION-*$PYPI_PLATFORM.whl" | head -n 1)
  if [ -z "$wheel" ]; then
    say "fetching the headers, PyPI package $PYPI_PACKAGE (69 MB), with pip"
    "${pip[@]}" download -q "$PYPI_PACKAGE" --platform "$PYPI_PLATFORM" --python-version "$PYPI_PYTHON" \
      --only-binary=:all: --no-deps -d "$stage/part" >&2 || { say "pip could not fetch them (it says above why)"; offline; }
    wheel=$(find "$stage/part" -name '*.whl' | head -n 1)
    mv "$wheel" "$downloads/"
    wheel=$downloads/$(basename "$wheel")
  fi
  expect "$wheel" "$PYPI_SHA256" "$wheel" has

  mkdir "$stage/libtorch"
  unzip -qq -j "$jar" "pytorch/cpu/$classifier/*" -d "$stage/libtorch/lib" </dev/null >&2
  unzip -qq "$wheel" 'torch/include/*' '*.dist-info/LICENSE' -d "$stage/wheel" </dev/null >&2
  mv "$stage/wheel/torch/include" "$stage/wheel"/*.dist-info/LICENSE "$stage/libtorch/"
  printf '%s+cpu\n' "$VERSION" >"$stage/libtorch/build-version"
  install_staged "$stage/libtorch" "$jar" "libtorch $VERSION from the Maven and PyPI packages; checked: the SHA-256 of both packages and of every library"
  rm -f "$jar" "$wheel"  # 180 MB that the installed copy no longer needs
}

if [ -n "${LIBTORCH:-}" ]; then
  own=$(realpath -m "$LIBTORCH")
  check "$own" || die "LIBTORCH=$LIBTORCH cannot be used. Unset it to let this script fetch one; if that build is what you mean, name its libraries in a copy of libtorch.lock, and set VIDI_LIBTORCH_LOCK to that"
  printf '%s\n' "$own"
  exit
fi

use_installed 2>/dev/null  # the usual case, which also works where the cache cannot be written to

{ mkdir -p "$downloads" && : >>"$cache/lock"; } 2>/dev/null || die "cannot write to $cache; set XDG_CACHE_HOME to a folder where you may"
exec 9>>"$cache/lock"
flock -n 9 || { say "another run is fetching; waiting for it"; flock 9; }
use_installed
command -v unzip >/dev/null || "$here/system-packages.sh" unzip || die "unzip is missing"
trap 'rm -rf "$stage"' EXIT
rm -rf "$stage"  # left by a run that was killed: whoever has the lock is alone here

if [ -f "$zip" ]; then from_release "$release in $downloads"
else
  shown=$(sed 's|?.*||; s|//[^/]*@|//|' <<<"$url")  # a mirror's address may hold a password or a token
  if [ -n "$url" ] && ! command -v curl >/dev/null; then say "curl is missing, so the release cannot be fetched"; url=; fi
  if [ -n "$url" ] && download "$shown"; then from_release "$shown"
  else
    [ -z "$url" ] || say "using the packages instead"
    from_packages
  fi
fi
printf '%s\n' "$target"
