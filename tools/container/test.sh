#!/usr/bin/env bash
# Builds the image and proves it: `make test-container`. Needs root, for namespaces of its own; no engine has to run.
#
#   test.sh                   everything; fails where nothing here can build an image
#   test.sh --where-possible  for continuous integration: there it says what was not tested, and succeeds; and it spares the
#                             second build, with the public release of libtorch, which takes minutes, and takes no times
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'container: %s\n' "$*"; }
possible=${1:-}
cannot() {
  say "the image was NOT built and NOT tested: $*"
  [ "$possible" != --where-possible ] || exit 0
  exit 1
}

[ "$(id -u)" = 0 ] || cannot "that needs root, for a network and mounts of its own"
unshare --net --mount true 2>/dev/null || cannot "no namespaces can be made here"
tools/container/build.sh --can || cannot "see above"
third_party/system-packages.sh iproute2 python3 strace util-linux

tag=vidi-test
archive=build/container/image.tar
SECONDS=0
tools/container/build.sh --save "$archive" $tag
say "built and written in $SECONDS s"
if [ "$possible" = --where-possible ]; then say "not built with the public release of libtorch: \`make test-container\` does that"
else tools/container/test-release.sh; fi
costs=()
[ "$possible" != --where-possible ] || costs=(--without-costs)
unshare --net python3 tools/container/prove.py "$archive" "${costs[@]}"
