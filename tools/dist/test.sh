#!/usr/bin/env bash
# Tests of the tarball: test.sh TARBALL. It is unpacked into a folder with a name that nobody would choose, and used there with
# nothing of this machine's environment; then in a root that holds glibc and a shell, and else nothing.
# shellcheck disable=SC2016,SC2317  # functions are called by `try`, and scripts in quotes expand their own variables
set -uo pipefail

tarball=$(realpath "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
picture=$root/examples/espresso.png
tmp=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null
  rm -rf "$tmp"
}
trap cleanup EXIT
failed=0
try() { # NAME COMMAND...: the command must succeed; what it said is shown otherwise
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then printf 'ok    %s\n' "$name"; else printf 'FAIL  %s\n%s\n' "$name" "$said"; failed=1; fi
}
says() { # WANTED COMMAND...: what the command prints matches
  local wanted=$1 said
  shift
  said=$("$@" 2>&1)
  grep -qE -- "$wanted" <<<"$said" || { printf 'expected %s, got:\n%s\n' "$wanted" "$said"; return 1; }
}
refuses() { # CODE WANTED COMMAND...: it ends with that code, and says what is wanted
  local code=$1 wanted=$2 said got=0
  shift 2
  said=$("$@" 2>&1) || got=$?
  if [ "$got" != "$code" ] || ! grep -qE -- "$wanted" <<<"$said"; then
    printf 'expected %s and %s, got %s:\n%s\n' "$code" "$wanted" "$got" "$said"
    return 1
  fi
}

odd="$tmp/odd \$name; with 'quotes' and 空"
mkdir -p "$odd"
tar -xzf "$tarball" -C "$odd"
folder=$(find "$odd" -mindepth 1 -maxdepth 1)
vidi() { (cd / && env -i "$folder/vidi" "$@"); }

checksums() { (cd "$folder" && sha256sum --quiet -c SHA256SUMS && [ "$(find . -type f | wc -l)" = $(($(wc -l <SHA256SUMS) + 1)) ]); }
try "every file is in SHA256SUMS" checksums
try "the tarball's own checksum" sh -c 'cd "${1%/*}" && sha256sum -c "$1.sha256"' sh "$tarball"

# Every part of the program is in the bill of materials, by its digest, and Go's modules are.
bill() {
  python3 - "$folder" <<'PY'
import hashlib, json, sys
from pathlib import Path
folder = Path(sys.argv[1])
bom = json.loads((folder / "sbom.cdx.json").read_text())
known = {h["content"] for c in bom["components"] for h in c.get("hashes", [])}
missing = [str(p) for p in (folder / "app").rglob("*") if p.is_file() and hashlib.sha256(p.read_bytes()).hexdigest() not in known]
modules = [c["name"] for c in bom["components"] if c.get("purl", "").startswith("pkg:golang/")]
unlicensed = [c["name"] for c in bom["components"] if not c.get("licenses") and not c.get("evidence", {}).get("licenses")]
assert not missing, missing
assert len(modules) > 20 and any("labstack/echo" in m for m in modules), modules
assert not unlicensed, unlicensed
assert bom["metadata"]["component"]["name"] == "github.com/vidi-vision/vidi", bom["metadata"]
PY
}
try "the bill of materials is complete" bill

paths() { # nothing of the machine that it was built on
  local found
  found=$(grep -rlaF -e "$root" -e "$HOME/" "$folder" --exclude-dir=models) || return 0
  printf '%s\n' "$found"
  return 1
}
try "no path of this machine inside" paths

try "vidi version" says '^vidi [0-9]' vidi version
try "vidi version --verbose" says '^libtorch 2\.' vidi version --verbose
try "vidi classify" says 'espresso +[0-9]' vidi classify "$picture"
ln -s "$folder/vidi" "$tmp/link"
ln -s link "$tmp/link of link"
try "through links" says '^vidi [0-9]' env -i "$tmp/link of link" version
try "by a relative path" sh -c 'cd "$1" && env -i sh vidi version' sh "$folder"

port=$((20000 + $$ % 20000))
(cd / && exec env -i "$folder/vidi" serve --addr "127.0.0.1:$port" --admin-addr "" >"$tmp/log" 2>&1) &
server=$!
for _ in $(seq 300); do vidi health --addr "127.0.0.1:$port" >/dev/null 2>&1 && break; sleep 0.1; done
try "vidi serve and health" says '^ready' vidi health --addr "127.0.0.1:$port"
try "a picture over HTTP" says '"label":"espresso"' curl -sS -F "image=@$picture" "http://127.0.0.1:$port/predict"
libraries=$(awk '{ for (i = 7; i <= NF; i++) print $i }' "/proc/$server/maps" | grep -E '\.so' | sed 's|.*/||' | sort -u)
own() { # what is loaded lies in the folder, but for glibc
  local outside
  outside=$(sed -nE 's/^([^ ]+ +){5}(.*\.so[^ ]*).*$/\2/p' "/proc/$server/maps" | sort -u | grep -vF "$folder/" | grep -vE '/(ld-linux[^/]*|libc|libm|libdl|librt|libpthread|libnss_[a-z]+|libresolv)\.so[.0-9]*$')
  [ -z "$outside" ] || { printf 'loaded from elsewhere: %s\n' "$outside"; return 1; }
  grep -q libtorch_cpu <<<"$libraries"
}
try "every library is the tarball's own" own
kill "$server"
wait "$server"
try "a clean stop" test $? = 0
server=

# A machine with an older glibc, or another C library, by what its programs say.
pretend() { # NAME TEXT: a program of that name that prints the text
  mkdir -p "$tmp/old"
  printf '#!/bin/sh\necho "%s"\n' "$2" >"$tmp/old/$1"
  chmod +x "$tmp/old/$1"
}
older() { env -i PATH="$tmp/old:/usr/bin:/bin" "$folder/vidi" version; }
needed=$(sed -n "s/^needed='\([0-9.]*\)'.*/\1/p" "$folder/vidi")
pretend getconf "glibc 2.17"
try "an older glibc is refused, and both versions are said" refuses 3 "has glibc 2\.17, and vidi needs ${needed/./\\.} or later" older
pretend getconf "glibc 2.200"
try "a newer one is not" says '^vidi [0-9]' older
printf '#!/bin/sh\nexit 1\n' >"$tmp/old/getconf"
pretend ldd "ldd (Debian GLIBC 2.19-18+deb8u10) 2.19"
try "by ldd where there is no getconf" refuses 3 "has glibc 2\.19" older
pretend ldd "musl libc (x86_64)"
try "musl" refuses 3 "has musl as its C library" older
pretend uname sparc64
try "another machine" refuses 3 "this machine is sparc64" older

# A root of glibc, a shell and /proc: whatever else vidi needed would be missing.
bare() {
  local bare=$tmp/bare file
  mkdir -p "$bare/bin" "$bare/proc" "$bare/opt"
  mv "$folder" "$bare/opt/vidi"
  cp "$picture" "$bare/opt/"
  cp /bin/dash "$bare/bin/sh"
  for file in $(ldd /bin/dash | grep -o '/[^ ]*ld-linux[^ ]*') /lib/"$(uname -m)"-linux-gnu/lib{c.so.6,m.so.6,dl.so.2,rt.so.1,pthread.so.0}; do
    mkdir -p "$bare/${file%/*}"
    cp -L "$file" "$bare/$file"
  done
  says 'espresso +[0-9]' env -i unshare --mount --net --pid --fork --root "$bare" --mount-proc /opt/vidi/vidi classify /opt/espresso.png
}
if [ "$(id -u)" = 0 ]; then
  try "in a root with nothing but glibc and a shell, without a network" bare
else
  echo "skip  in a root with nothing but glibc and a shell: making one needs root"
  [ -z "${CI:-}" ] || failed=1
fi

[ $failed = 0 ] && echo "dist: the tarball is good"
exit $failed
