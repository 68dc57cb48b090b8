#!/usr/bin/env bash
# Makes the tarball: dist.sh MODELS OUT, with the folder of the one model that it brings along, and the folder to write to.
#
#   OUT/vidi-VERSION-linux-ARCHITECTURE.tar.gz, and its .sha256 beside it
#
# VIDI_VERSION is the version, without it the source tree's. The same sources and the same system's libraries make the same
# file: sorted, one time for all (SOURCE_DATE_EPOCH, without it the commit's), no names of users, no paths of this machine.
set -euo pipefail

die() { printf 'dist: %s\n' "$*" >&2; exit 1; }
say() { printf 'dist: %s\n' "$*" >&2; }

[ $# = 2 ] || die "usage: dist.sh MODELS OUT"
models=$(realpath "$1")
out=$(realpath -m "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=tools/dist
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
VIDI_VERSION=${VIDI_VERSION:-$(sed -nE 's/^(var |\t)version *= "(.*)"/\2/p' service/cmd/vidi/version.go)}
VIDI_COMMIT=${VIDI_COMMIT:-$(git rev-parse HEAD 2>/dev/null || true)}
export SOURCE_DATE_EPOCH VIDI_VERSION VIDI_COMMIT
[ -n "$VIDI_VERSION" ] || die "the version is not known; set VIDI_VERSION"

architecture=$(uname -m)
name=vidi-$VIDI_VERSION-linux-$architecture
stage=$out/$name
rm -rf "$stage"
mkdir -p "$stage"
say "collecting the program and its libraries"
$here/collect.sh "$stage/app"
mv "$stage/app/licences" "$stage/"
mkdir "$stage/app/models"
cp "$models"/*.pt "$stage/app/models/"
[ "$(find "$stage/app/models" -type f | wc -l)" = 1 ] || die "$models holds more than one model"

# The newest symbol version that any part asks of glibc.
glibc=$(find "$stage/app" -type f \( -name vidi -o -name '*.so*' \) -exec objdump -T {} + 2>/dev/null | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -n 1)
glibc=${glibc#GLIBC_}
[ -n "$glibc" ] || die "cannot tell which glibc this needs"
fill() { sed -e "s/@GLIBC@/$glibc/g" -e "s/@ARCHITECTURE@/$architecture/g" -e "s/@VERSION@/$VIDI_VERSION/g" "$1"; }
fill $here/launcher.sh >"$stage/vidi"
chmod 755 "$stage/vidi"
fill $here/README.txt >"$stage/README.txt"
cp deploy/systemd/vidi.service "$stage/"

say "writing the bill of materials"
build/cyclonedx-gomod bin -json -licenses -version "$VIDI_VERSION" -output "$out/go.cdx.json" "$stage/app/vidi" 2>"$out/gomod.log" ||
  { cat "$out/gomod.log" >&2; die "cyclonedx-gomod failed"; }
build/deploy-venv/bin/python $here/sbom.py "$out/go.cdx.json" "$stage" "$glibc" >"$stage/sbom.cdx.json"
rm "$out/go.cdx.json" "$out/gomod.log"

(cd "$stage" && find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum) >"$out/SHA256SUMS"
mv "$out/SHA256SUMS" "$stage/"
chmod -R u=rwX,go=rX "$stage"
say "packing"
tar -C "$out" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu -cf - "$name" | gzip -n >"$out/.new"
mv "$out/.new" "$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
rm -rf "$stage"
printf '%s\n' "$out/$name.tar.gz"
