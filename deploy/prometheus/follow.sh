#!/bin/sh
# Runs a program that shares another container's network, and ends it once that network is gone: `follow.sh PROGRAM ARGS…`.
# A container that is started anew gets a new network, and whoever shared the old one stays in it, alone, for ever. Ending lets
# the restart policy start it in the new one. A signal to stop reaches the program; its exit code becomes this script's.
set -u

connected() { [ "$(wc -l </proc/net/route)" -gt 1 ]; } # the first line is the table's head

if ! connected; then
  echo "follow: there is no network yet; starting again later" >&2
  sleep 2
  exit 1
fi
"$@" &
program=$!
trap 'kill -TERM "$program"' TERM INT
while kill -0 "$program" 2>/dev/null; do
  if ! connected; then
    echo "follow: the network is gone; ending, to be started in the new one" >&2
    kill -TERM "$program"
    break
  fi
  sleep 2 &
  wait $! # unlike sleep itself, wait lets a signal through at once
done
wait "$program"
code=$?
# A wait that a signal broke off says so by a code above 128, while the program still runs.
while [ $code -gt 128 ] && kill -0 "$program" 2>/dev/null; do
  wait "$program"
  code=$?
done
exit $code
