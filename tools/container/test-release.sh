#!/usr/bin/env bash
# The image's first stage with the public release of libtorch in place of the packages: from a server on this machine, which has a
# zip laid out like that release. test.sh calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

libtorch=$(third_party/fetch-libtorch.sh)
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$tmp"' EXIT
name=libtorch.zip
# Not compressed: what is tested is the way, and the digest of what comes out of it.
(cd "$libtorch" && python3 - "$tmp/$name" <<'PYTHON'
import pathlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for top in ("build-version", "include", "lib"):
        for path in sorted([pathlib.Path(top), *pathlib.Path(top).rglob("*")]):
            archive.write(path, pathlib.Path("libtorch") / path)
PYTHON
)
: >"$tmp/served"
python3 -u -m http.server --bind 127.0.0.1 --directory "$tmp" 0 >"$tmp/served" 2>&1 &
server=$!
for _ in {1..100}; do grep -q 'port' "$tmp/served" && break; sleep 0.1; done
port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$tmp/served" | head -n 1)
url=http://127.0.0.1:$port/$name

tools/container/build.sh vidi-test-release --network host --target libtorch --build-arg "LIBTORCH_URL=$url" 2>&1 | tee "$tmp/log" | grep '^container:\|libtorch:' || true
expected="from $url; checked: build-version and the SHA-256 of every library"
if ! grep -qF "$expected" "$tmp/log" || ! grep -q "GET /$name .* 200" "$tmp/served"; then
  tail -n 20 "$tmp/log"
  echo "FAIL  the image can be built with the public release"
  exit 1
fi
echo "ok    the image can be built with the public release (from a server on this machine)"
