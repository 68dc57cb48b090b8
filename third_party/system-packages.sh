#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing of those named on the command line: as root, or through sudo where
# that asks no password. Otherwise it prints the line to run, and fails. Quick when nothing is missing.
set -euo pipefail

say() { printf 'packages: %s\n' "$*" >&2; }

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null) || true  # fails for names it does not know
missing=()
for package in $(printf '%s\n' "$@" | sort -u); do
  grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit

if ! command -v apt-get >/dev/null; then
  # Not an error: the same tools may be here under other names, and who misses one says so.
  say "this is neither Debian nor Ubuntu; please see to it yourself that there is what these packages hold: ${missing[*]}"
  exit
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    sudo='' root=' as root'
    if command -v sudo >/dev/null; then sudo='sudo ' root=; fi
    say "some are missing, and installing them needs root. Please run$root:"
    printf '\n    %sapt-get update && %sapt-get install --no-install-recommends -y %s\n\nand then the same command again.\n' "$sudo" "$sudo" "${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo -n)
fi
say "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The time-out is for a machine where another apt is at work, as some do on their first minutes.
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@" >"$log" 2>&1; }
install() { apt install -y --no-install-recommends "${missing[@]}"; }
# The package lists of a fresh machine are empty or old: update once where the first try fails.
if ! install && ! { apt update && install; }; then
  tail -n 15 "$log" >&2
  say "apt-get could not install them (its last lines are above). Is there a network?"
  exit 1
fi
