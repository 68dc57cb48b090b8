package torchbind_test

import (
	"context"
	"fmt"
	"image"
	"log"
	"os"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/torchbind"
)

// A photograph's way to its most likely class: decode, resize and crop, normalise, run.
func Example() {
	worker, err := torchbind.NewWorker(2)
	if err != nil {
		log.Fatal(err)
	}
	defer worker.Close()

	data, err := os.ReadFile("../examples/flower.jpg")
	if err != nil {
		log.Fatal(err)
	}
	// The shorter side becomes 256, of which the middle 224 × 224 is taken. This photograph is 640 × 427.
	rgb := make([]byte, 224*224*3)
	middle := image.Rect(0, 0, 224, 224).Add(image.Pt((383-224+1)/2, (256-224)/2))
	resize := codec.Resize{Width: 383, Height: 256, Crop: middle, Filter: codec.Bilinear}
	if _, err := codec.ResizeJPEG(data, codec.JPEGOptions{MaxPixels: 50_000_000}, resize, rgb); err != nil {
		log.Fatal(err)
	}

	err = worker.Do(context.Background(), func() error { // libtorch is entered from the worker's threads only
		model, err := torchbind.Load("../build/models/efficientnet-lite0.pt", torchbind.Options{})
		if err != nil {
			return err
		}
		defer model.Close()
		mean, std := float32(127.0/255), float32(128.0/255)
		input, err := torchbind.NewInput(rgb, 1, 224, 224, [3]float32{mean, mean, mean}, [3]float32{std, std, std}, model.InputDType())
		if err != nil {
			return err
		}
		defer input.Close()
		output, err := worker.Run(model, input)
		if err != nil {
			return err
		}
		defer output.Close()
		logits, err := output.Float32s()
		if err != nil {
			return err
		}
		best := 0
		for class, v := range logits {
			if v > logits[best] {
				best = class
			}
		}
		fmt.Printf("%v: class %d\n", output, best)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: float32[1×1000]: class 985
}

// Tensors of other programs in the same process cross over by the address of their at::Tensor.
func ExampleFromHandle() {
	x, err := torchbind.NewFloat32([]int64{2}, []float32{1, 2})
	if err != nil {
		log.Fatal(err)
	}
	shared, err := torchbind.FromHandle(x.Handle()) // as another library would, with its own at::Tensor*
	if err != nil {
		log.Fatal(err)
	}
	x.Close() // the storage lives on
	defer shared.Close()
	values, err := shared.Float32s()
	fmt.Println(shared, values, err)
	// Output: float32[2] [1 2] <nil>
}
