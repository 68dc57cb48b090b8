// Package libtorch is the backend for TorchScript files.
package libtorch

import (
	"bytes"
	"context"
	"errors"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// Backend is libtorch. Its methods open libtorch where they need it.
type Backend struct{}

var _ backend.Backend = Backend{}

// Name is "libtorch".
func (Backend) Name() string { return "libtorch" }

// Sniff takes zip archives: TorchScript files are such, whatever they are called.
func (Backend) Sniff(head []byte, _ string) bool { return bytes.HasPrefix(head, []byte("PK\x03\x04")) }

// Variants are the ways that libtorch prepares a network. The fused one is there where libtorch was
// built with oneDNN Graph, which it is not for ARM.
func (Backend) Variants() ([]model.Engine, error) {
	info, err := torchbind.Runtime()
	if err != nil {
		return nil, translate(err)
	}
	variants := model.Engines()
	if !info.HasFuser {
		variants = variants[1:]
	}
	return variants, nil
}

// Auto is bf16 where the CPU is faster with it.
func (Backend) Auto() (backend.Precision, error) {
	info, err := torchbind.Runtime()
	if err != nil {
		return "", translate(err)
	}
	if info.HasFastBF16 {
		return backend.BF16, nil
	}
	return backend.FP32, nil
}

// Gain times a convolution in both precisions.
func (Backend) Gain(ctx context.Context, w backend.Worker) (gain float64, err error) {
	err = w.Do(ctx, func() error {
		fp32, err := torchbind.TimeConvolution(torchbind.FP32)
		if err != nil {
			return translate(err)
		}
		bf16, err := torchbind.TimeConvolution(torchbind.BF16)
		if err != nil {
			return translate(err)
		}
		gain = fp32.Seconds() / bf16.Seconds()
		return nil
	})
	return gain, err
}

// NewWorker starts a thread for jobs, and one that runs modules with libtorch's pool of threads.
func (Backend) NewWorker(threads, nice int) (backend.Worker, error) {
	w, err := torchbind.NewWorker(threads)
	if err != nil {
		return nil, translate(err)
	}
	if nice > 0 {
		if err := w.SetNice(nice); err != nil {
			w.Close()
			return nil, translate(err)
		}
	}
	return worker{w}, nil
}

// Trim gives back free heap pages, and what was compiled and is not needed now.
func (Backend) Trim() { torchbind.TrimMemory() }

type worker struct{ *torchbind.Worker }

// Do is [torchbind.Worker.Do] with the errors of package backend.
func (w worker) Do(ctx context.Context, job func() error) error {
	return translate(w.Worker.Do(ctx, job))
}

var kinds = map[torchbind.Code]backend.Kind{
	torchbind.NotFound:      backend.NotFound,
	torchbind.BadModel:      backend.BadModel,
	torchbind.OutOfMemory:   backend.OutOfMemory,
	torchbind.TooSlow:       backend.TooSlow,
	torchbind.ForwardFailed: backend.Failed,
	torchbind.Unavailable:   backend.Unavailable,
}

// translate gives an error of torchbind its kind; others stay as they are.
func translate(err error) error {
	var known *backend.Error
	var native *torchbind.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, torchbind.ErrClosed):
		return backend.ErrClosed
	case errors.As(err, &native):
		return &backend.Error{Kind: kinds[native.Code], Message: native.Message,
			Detail: native.Detail, Err: err}
	}
	return err
}
