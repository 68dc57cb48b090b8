#!/usr/bin/env bash
# Formatting and static checks of every language in the tree. Prints what is wrong, and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Pinned, because a new release may find new things on any day.
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.7.0
actionlint=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
go=$(third_party/find-go.sh)
gofmt=$("$go" env GOROOT)/bin/gofmt

failed=0
check() { # NAME OUTPUT: an empty output is good
  [ -z "$2" ] && return
  printf '%s:\n%s\n' "$1" "$2"
  failed=1
}
check gofmt "$("$gofmt" -l cgo service torchbind deploy)"
mapfile -t cpp < <(git ls-files '*.cc' '*.h' '*.c')
clang-format --dry-run --Werror "${cpp[@]}" || failed=1
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
shellcheck -x "${scripts[@]}" || failed=1
"$go" vet ./... || failed=1
"$go" run "$staticcheck" ./... || failed=1
(cd deploy/check && "$go" vet ./... && "$go" run "$staticcheck" ./...) || failed=1 # a module of its own
check "import \"C\" outside the border" "$(git grep -lE '^import "C"' -- '*.go' ':!torchbind/bind.go' ':!service/codec/bind.go' ':!cgo/cthread/cthread.go' ':!cgo/native/library.go' || true)"
if "$go" run "$actionlint" -version >/dev/null 2>&1; then
  "$go" run "$actionlint" || failed=1
else
  echo "lint: $actionlint cannot be fetched, so .github/workflows is not checked"
fi
/usr/bin/python3 tools/lint/names.py || failed=1
"$go" list -f '{{.ImportPath}}{{range .Imports}} {{.}}{{end}}' ./... | /usr/bin/python3 tools/lint/layers.py || failed=1
/usr/bin/python3 tools/lint/versions.py || failed=1
[ $failed = 0 ] && echo "lint: clean"
exit $failed
