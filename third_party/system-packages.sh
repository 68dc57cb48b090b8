#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing of those named on the command line: as root, or through sudo where
# that asks no password. Otherwise it prints the line to run, and fails. Quick when nothing is missing.
set -euo pipefail

missing=()
for package in "$@"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit

if ! command -v apt-get >/dev/null; then
  printf 'packages: this is neither Debian nor Ubuntu; install what these packages hold: %s\n' "${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
  if sudo -n true 2>/dev/null; then as_root=(sudo -n)
  else
    printf 'packages: some are missing, and installing them needs root. Please run:\n\n    sudo apt-get update && sudo apt-get install --no-install-recommends -y %s\n\nand then the same command again.\n' "${missing[*]}" >&2
    exit 1
  fi
fi
printf 'packages: installing %s\n' "${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
# The package lists of a fresh machine are empty or old: update once where the first try fails.
if ! install && ! { "${as_root[@]}" apt-get update -qq >"$log" 2>&1 && install; }; then
  tail -n 15 "$log" >&2
  printf 'packages: apt-get could not install them (its last lines are above). Is there a network?\n' >&2
  exit 1
fi
