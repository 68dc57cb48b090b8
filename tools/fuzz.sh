#!/usr/bin/env bash
# Fuzzes every parser of ours, one target after the other on one core, and prints what each target ran.
#
#   tools/fuzz.sh MINUTES go|shim|all     MINUTES of CPU time in all, shared out by risk
#
# A finding stops its target and fails the run at the end: Go leaves the input in the package's testdata/fuzz, where every later
# `go test` runs it again; libFuzzer leaves it in build/fuzz/findings. What was found interesting is kept outside the tree (Go's
# build cache, build/fuzz), so that the next run goes on from there. VIDI_SHARED, if set, names more pictures to begin with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
minutes=$1 which=$2
longest=300 # seconds of one round; a busy machine gives less CPU time than that, so a target may have many rounds

# Share of the time, kind, where, target.
targets='
14 shim cgo/image           fuzz_jpeg
10 shim cgo/image           fuzz_png
3  go   service/preprocess  FuzzJPEG
3  go   service/preprocess  FuzzPNG
5  go   service/preprocess  FuzzGIF
6  go   service/preprocess  FuzzWebP
5  go   service/preprocess  FuzzBMP
7  go   service/preprocess  FuzzTIFF
4  go   service/preprocess  FuzzHeader
4  go   service/preprocess  FuzzEXIF
4  go   service/httpapi     FuzzJSON
4  go   service/httpapi     FuzzMultipart
2  go   service/httpapi     FuzzURLEncoded
1  go   service/httpapi     FuzzParseHeader
2  go   service/httpapi     FuzzQuery
2  go   service/httpapi     FuzzHeaders
1  go   service/httpapi     FuzzBase64
1  go   service/keys        FuzzParse
1  go   service/rules       FuzzParse
2  go   service/model       FuzzInspect
1  go   service/model       FuzzPickle
2  go   service/model       FuzzUnpickle
1  go   service/model       FuzzCard
1  go   service/config      FuzzValues
2  go   service/operators   FuzzCheck
'
[ "$which" = all ] || targets=$(grep -E "^[0-9]+ +$which " <<<"$targets")
all=$(awk '{s += $1} END {print s}' <<<"$targets")
go=$(third_party/find-go.sh)
mkdir -p build/fuzz/findings build/fuzz/jpeg build/fuzz/png
shared=${VIDI_SHARED:+$VIDI_SHARED/hostile}

# Go's targets are built once, with the instrumentation that guides the fuzzer, and run where their test data are. The shim's first
# run begins with those of all files that each show something new.
prepare() {
  if [ "$kind" = shim ]; then
    format=${target#fuzz_}
    [ -z "$(ls "build/fuzz/$format")" ] || return 0
    build/shim-fuzz/"$target" -merge=1 -max_len=8192 -timeout=60 "build/fuzz/$format" "cgo/image/testdata/fuzz/$format" ${shared:+"$shared"} >build/fuzz/log 2>&1
    return
  fi
  binary=$PWD/build/fuzz/${where//\//-}.test
  [ -n "${built[$where]:-}" ] || "$go" test -c -fuzz=. -o "$binary" "./$where"
  built[$where]=yes
}
# One round of $seconds. It fails only where something was found: the end of the time while Go still runs its seeds is no finding.
round() {
  if [ "$kind" = go ]; then
    (cd "$where" && "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${seconds}s" -test.fuzzminimizetime 10x -test.parallel 1 \
      -test.fuzzcachedir "$top/build/fuzz/go/$where") >build/fuzz/log 2>&1 ||
      { grep -q 'context deadline exceeded' build/fuzz/log && ! grep -q 'Failing input' build/fuzz/log; } || return 1
    executed=$((executed + $(sed -n 's/.*execs: \([0-9]*\).*/\1/p' build/fuzz/log | tail -1 | grep . || echo 0)))
  else
    build/shim-fuzz/"$target" -max_total_time="$seconds" -max_len=8192 -timeout=60 -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$target-" \
      "build/fuzz/$format" >build/fuzz/log 2>&1 || return 1
    executed=$((executed + $(sed -n 's/^stat::number_of_executed_units: *//p' build/fuzz/log)))
  fi
}
# Sets cpu to the seconds that all that was run so far has used. In this shell: a subshell would begin with none.
count_cpu() {
  times >build/fuzz/times
  cpu=$(tail -1 build/fuzz/times | awk '{for (i = 1; i <= NF; i++) if (split($i, t, /[ms]/) > 1) s += 60 * t[1] + t[2]} END {printf "%d", s}')
}

declare -A built
top=$PWD
failed=0
printf '%-20s %-15s %12s %8s  %s\n' where target executions CPU-s findings
while read -r share kind where target; do
  [ -n "$share" ] || continue
  budget=$(awk "BEGIN {printf \"%d\", $minutes * 60 * $share / $all + 5}")
  prepare
  count_cpu
  used=0 executed=0 found=none
  while [ "$used" -lt "$budget" ] && [ "$found" = none ]; do
    seconds=$((budget - used < longest ? budget - used : longest)) before=$cpu
    if ! round; then
      found="see build/fuzz/$target.log" failed=1
      cp build/fuzz/log "build/fuzz/$target.log"
    fi
    count_cpu
    used=$((used + cpu - before))
  done
  printf '%-20s %-15s %12d %8d  %s\n' "$where" "$target" "$executed" "$used" "$found"
done <<<"$targets"
exit $failed
