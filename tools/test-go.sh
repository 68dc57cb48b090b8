#!/usr/bin/env bash
# Runs the Go tests against the real libtorch, and fails unless the tests that need it ran.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=$(third_party/find-go.sh)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# -race is left to the packages without libtorch: its C++ is not instrumented, and its 450 MB make the detector crawl.
mapfile -t quiet < <("$go" list ./... | grep -v /e2e)
"$go" test -count=1 -timeout 20m "${quiet[@]}" | tee "$log"
"$go" test -count=1 -timeout 40m -v ./service/e2e | grep -v '^=== ' | tee -a "$log" # -v: the table of differences, the counts
"$go" test -count=1 -race -timeout 10m ./service/admission ./service/connections ./service/logs ./service/model ./service/httpapi ./service/config ./service/api ./service/keys ./service/telemetry ./service/admin ./service/registry ./service/eval ./service/rules ./service/watch | tee -a "$log"
"$go" test -count=1 -race -timeout 5m -run 'Fake|Conformance' ./service/backend/fake ./service/engine | tee -a "$log" # computed in Go

# Green without running is red: these packages run forward passes through libtorch, so a missing line means a broken set-up.
for package in torchbind service/engine service/classify service/preprocess service/e2e; do
  if ! grep -Eq "^ok[[:space:]]+github.com/vidi-vision/vidi/${package}[[:space:]]" "$log"; then
    echo "test-go: the tests of $package did not run"
    exit 1
  fi
done
