#!/usr/bin/env bash
# Puts together what vidi needs at run time, and nothing else, as the container image and the tarball ship it:
#
#   collect.sh DEST        `make shim` must have run; DEST must not exist yet
#
#   DEST/vidi                  the program, without its symbol tables
#   DEST/lib/                  the shim, the image library, and the system's libraries that they load, but for glibc's
#   DEST/lib/libtorch/         libtorch's libraries that the shim loads, without their symbol tables
#   DEST/licences/             the texts that must travel with all of these
#
# The folder works wherever it is moved to: every library finds the others beside itself. Which ones are needed is read from
# these two, not from a list, because aarch64 needs others than x86-64. All files get the same time (SOURCE_DATE_EPOCH, 0 without
# it), so that what did not change gives the same archive and the same image layer.
#
# VIDI_VERSION and VIDI_COMMIT, if set, are what `vidi version` says; without a repository around the source tree it knows
# neither by itself.
set -euo pipefail

die() { printf 'collect: %s\n' "$*" >&2; exit 1; }

[ $# = 1 ] || die "usage: collect.sh DEST"
case $1 in /*) dest=$1 ;; *) dest=$PWD/$1 ;; esac
[ ! -e "$dest" ] || die "$dest is there already; name a folder that is not, or remove it"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
own=(libtorchbind.so libvidiimage.so)
for file in "${own[@]}"; do
  [ -f "bin/lib/$file" ] || die "there is no bin/lib/$file; run \`make shim\` first"
done
libtorch=$(realpath bin/lib/libtorch)
go=$(third_party/find-go.sh)

built_with=$(third_party/built-with.sh --ship "$(dirname "$libtorch")")

mkdir -p "$dest/lib/libtorch" "$dest/licences/system" "$dest/licences/go"
"$go" build -trimpath -o "$dest/vidi" \
  -ldflags "-s -w ${VIDI_VERSION:+-X main.version=$VIDI_VERSION} ${VIDI_COMMIT:+-X main.commit=$VIDI_COMMIT} -X 'main.builtWith=$built_with'" ./service/cmd/vidi
for file in "${own[@]}"; do strip --strip-unneeded -o "$dest/lib/$file" "bin/lib/$file"; done

# The copyright file of the Debian package that FILE is from. A file may be packaged as /lib/… or as /usr/lib/….
system_licence() { # FILE
  local file package
  file=$(realpath "$1")
  package=$(dpkg -S "$file" 2>/dev/null || dpkg -S "${file#/usr}") || die "no Debian package has $file, so its licence is not known"
  package=${package%%:*}
  cp -L "/usr/share/doc/$package/copyright" "$dest/licences/system/$package.txt"
}

# glibc is the one thing that stays the system's: its parts belong together, and to the kernel.
glibc='^(linux-vdso|ld-linux.*|libc|libm|libdl|librt|libpthread)\.so'
while read -r name _ path _; do
  case $name in /*) continue ;; esac  # the dynamic loader
  [[ $name =~ $glibc ]] && continue
  [ "$path" != not ] || die "${own[*]} need $name, which is not on this machine"
  if [ "$(dirname "$(realpath "$path")")" = "$libtorch" ]; then
    cp "$path" "$dest/lib/libtorch/$name"
  else
    cp -L "$path" "$dest/lib/$name"
    system_licence "$path"
  fi
done < <(ldd "${own[@]/#/bin/lib/}" | awk '$2 == "=>" { print $1, $2, $3 }' | sort -u)
# Their symbol tables are a fifth of libtorch; what programs link to is in another table, which stays. Only these two have any to speak of.
strip --strip-unneeded "$dest/lib/libtorch/libtorch_cpu.so" "$dest/lib/libtorch/libc10.so"

cp LICENSE third_party/README.md third_party/licences/* "$dest/licences/"
# Go's modules and its own library are inside the program.
cp "$("$go" env GOROOT)/LICENSE" "$dest/licences/go/go.txt"
while read -r module folder; do
  text=$(find "$folder" -maxdepth 1 -iname 'licen[sc]e*' -o -maxdepth 1 -iname 'unlicense*' -o -maxdepth 1 -iname 'copying*' | LC_ALL=C sort | head -n 1)
  [ -n "$text" ] || die "module $module has no licence file in $folder"
  cp "$text" "$dest/licences/go/${module//\//_}.txt"
  if [ -f "$folder/NOTICE" ]; then cp "$folder/NOTICE" "$dest/licences/go/${module//\//_}.notice.txt"; fi
done < <("$go" list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./service/cmd/vidi | sort -u)

# Whatever is loaded must come from the folder itself, not from this machine.
outside=$(ldd "${own[@]/#/$dest/lib/}" | awk '$2 == "=>" { print $1, $3 }' | grep -vE "$glibc" | grep -vF " $dest/" || true)
[ -z "$outside" ] || die "not taken from $dest/lib:"$'\n'"$outside"

chmod -R u=rwX,go=rX "$dest"
find "$dest" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
