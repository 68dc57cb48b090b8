package codec_test

import (
	"errors"
	"testing"

	"github.com/vidi-vision/vidi/service/codec"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code codec.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("error is %v, want one with code %v", err, code)
	}
}
