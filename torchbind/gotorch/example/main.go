// Command example sends a gotorch tensor through a TorchScript module and gets a gotorch tensor back:
//
//	go run ./example resnet18_traced.pt
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/vidi-vision/vidi/torchbind"
	bridge "github.com/vidi-vision/vidi/torchbind/gotorch"
	"github.com/wangkuiyi/gotorch"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: example FILE.pt (a traced network that takes 1×3×224×224 and gives logits)")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	worker, err := torchbind.NewWorker(1)
	if err != nil {
		return err
	}
	defer worker.Close()
	return worker.Do(context.Background(), func() error {
		module, err := torchbind.Load(file, torchbind.Options{})
		if err != nil {
			return err
		}
		defer module.Close()
		logits, err := classify(worker, module, gotorch.RandN([]int64{1, 3, 224, 224}, false))
		if err != nil {
			return err
		}
		_, class := gotorch.TopK(logits, 1, 1, true, true)
		fmt.Printf("logits %v; the likeliest class is %v\n", logits.Shape(), class.Item())
		return nil
	})
}

// classify runs the module on a gotorch tensor. No pixel and no logit is copied on the way; what lies between is freed here.
func classify(worker *torchbind.Worker, module *torchbind.Module, picture gotorch.Tensor) (gotorch.Tensor, error) {
	input, err := bridge.ToTorchbind(picture)
	if err != nil {
		return gotorch.Tensor{}, err
	}
	defer input.Close()
	output, err := worker.Run(module, input)
	if err != nil {
		return gotorch.Tensor{}, err
	}
	defer output.Close()
	return bridge.FromTorchbind(output)
}
