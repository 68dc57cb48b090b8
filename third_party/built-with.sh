#!/usr/bin/env bash
# Prints in a line what `vidi doctor` says of the libraries that the shim is built with: where libtorch is from and how it was
# checked, and whether the system's libraries have the fixes of security-minimum.tsv.
#
#   built-with.sh [--ship] LIBTORCH    the folder that fetch-libtorch.sh has just checked and printed
#
# A library that is too old is named on standard error; with --ship that is an error, because then it would be shipped.
# VIDI_SECURITY_MINIMUM replaces the table.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf 'libraries: %s\n' "$*" >&2; }

ship=0
if [ "${1:-}" = --ship ]; then ship=1; shift; fi
[ $# = 1 ] || { say "usage: built-with.sh [--ship] LIBTORCH"; exit 1; }

source=$(sed 's/; checked:.*//' "$1/SOURCE" 2>/dev/null) || source="libtorch from a folder of your own"
text="$source, each library checked by SHA-256 against ${VIDI_LIBTORCH_LOCK:-libtorch.lock}"

# shellcheck disable=SC1091
system=$(. /etc/os-release && echo "${ID:-unknown}-${VERSION_ID:-unknown}")
table=${VIDI_SECURITY_MINIMUM:-$here/security-minimum.tsv}
known=0 old=()
while IFS=$'\t' read -r distribution package minimum; do
  [ "$distribution" = "$system" ] || continue
  version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null) || continue
  known=1
  text+="; $package $version"
  if dpkg --compare-versions "$version" lt "$minimum"; then
    text+=" is older than $minimum, which mends known faults"
    old+=("$package")
  fi
done <"$table"
[ $known = 1 ] || text+="; which versions of libpng, zlib and libjpeg-turbo have the known fixes is not recorded for $system"

if [ ${#old[@]} -gt 0 ]; then
  say "${text#*; }"
  say "to mend that: apt-get update && apt-get install --only-upgrade ${old[*]}"
  [ $ship = 0 ] || { say "nothing is shipped with libraries that have known faults"; exit 1; }
fi
printf '%s\n' "$text"
