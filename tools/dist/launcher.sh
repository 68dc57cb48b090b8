#!/bin/sh
# Starts vidi from the folder that this script lies in, wherever that is. A C library that is too old would only say which
# symbol it lacks; this says what to do.
needed='@GLIBC@' architecture='@ARCHITECTURE@'

die() { printf 'vidi: %s\n' "$1" >&2; exit 3; }

self=$0
while [ -h "$self" ]; do
  target=$(readlink "$self")
  case $target in /*) self=$target ;; *) self=${self%/*}/$target ;; esac
done
case $self in */*) ;; *) self=./$self ;; esac
here=$(cd "${self%/*}" && pwd) || die "cannot find the folder of $0"

machine=$(uname -m 2>/dev/null) || machine=$architecture # what has no uname is left to the kernel
[ "$machine" = "$architecture" ] || die "this is the program for $architecture, and this machine is $machine; get the one for $machine, or build it there with \`make dist\`"

# "glibc 2.36", or "ldd (Debian GLIBC 2.36-9) 2.36"; musl's ldd has no version in its first line. Where neither program is,
# glibc itself will say what it lacks.
found=$(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1)
found=${found%%
*}
case $found in
  *musl*) die "this system has musl as its C library, and vidi needs glibc $needed or later (Debian, Ubuntu, Fedora, … have it); the container image brings its own" ;;
  *[Gg][Ll][Ii][Bb][Cc]*)
    version=${found##* }
    minor=${version#*.}
    minor=${minor%%[!0-9]*}
    if [ "${version%%.*}" = 2 ] && [ "${minor:-0}" -lt "${needed#*.}" ]; then
      die "this system has glibc $version, and vidi needs $needed or later; use a newer system, the container image, or build vidi here with \`make dist\`"
    fi
    ;;
esac
exec "$here/app/vidi" "$@"
