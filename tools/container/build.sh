#!/usr/bin/env bash
# Builds the image from the Dockerfile, with whatever is here that can, and says which.
#
#   build.sh [--save FILE] TAG [OPTION...]     the options go to the builder: --build-arg MODEL=resnet18
#   build.sh --can                             only says whether there is a builder: exit status 0 or 69
#
# Looked for in this order:
#   1. $VIDI_CONTAINER_BUILD, a script that builds with buildah where no engine runs: SCRIPT build CONTEXT TAG -- OPTION...
#   2. docker, then podman;
#   3. $VIDI_SHARED/tools/container-build.sh, such a script;
#   4. buildah.
# --save writes the image to a file in the format of `docker save`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'container: %s\n' "$*" >&2; }

script=${VIDI_CONTAINER_BUILD:-}
if [ -n "$script" ]; then
  [ -x "$script" ] || { say "VIDI_CONTAINER_BUILD=$script cannot be run"; exit 1; }
  builder=script
elif docker info >/dev/null 2>&1; then builder=docker
elif command -v podman >/dev/null; then builder=podman
elif [ -n "${VIDI_SHARED:-}" ] && [ -x "$VIDI_SHARED/tools/container-build.sh" ]; then
  script=$VIDI_SHARED/tools/container-build.sh builder=script
elif command -v buildah >/dev/null; then builder=buildah
else
  say "nothing here can build an image: no Docker engine answers, and there is neither podman nor buildah; install one, or name a script with VIDI_CONTAINER_BUILD"
  exit 69
fi
[ "${1:-}" != --can ] || exit 0

save=
if [ "${1:-}" = --save ]; then save=$2; shift 2; fi
[ $# -ge 1 ] || { say "usage: build.sh [--save FILE] TAG [OPTION...]"; exit 2; }
tag=$1; shift

version=$(sed -n 's/^\tversion = "\(.*\)"$/\1/p' service/cmd/vidi/version.go)
commit=$(git rev-parse HEAD 2>/dev/null || true)
options=(--build-arg "VERSION=$version" --build-arg "COMMIT=$commit" "$@")
say "building $tag with ${script:-$builder}"
# The image format of buildah and podman has no health check unless it is Docker's.
case $builder in
  docker)  docker build -t "$tag" "${options[@]}" . ;;
  podman)  podman build --format docker -t "$tag" "${options[@]}" . ;;
  buildah) buildah bud --format docker --layers -t "$tag" "${options[@]}" . ;;
  script)
    # Such a script may hand this machine's settings to the build; they are not for the image.
    for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy GOPROXY GOSUMDB GONOSUMDB GOFLAGS PIP_INDEX_URL SSL_CERT_FILE; do
      options+=(--unsetenv "$name")
    done
    "$script" build . "$tag" -- --format docker "${options[@]}" ;;
esac

[ -n "$save" ] || exit 0
say "writing it to $save"
mkdir -p "$(dirname "$save")"
rm -f "$save"
case $builder in
  docker)  docker save -o "$save" "$tag" ;;
  podman)  podman save -q -o "$save" "$tag" ;;
  buildah) buildah push -q "localhost/$tag" "docker-archive:$save:$tag" ;;
  script)  STORAGE_DRIVER=vfs buildah push -q "localhost/$tag" "docker-archive:$save:$tag" ;;
esac
