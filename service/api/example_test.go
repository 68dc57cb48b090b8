package api_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/vidi-vision/vidi/service/api"
)

func Example() {
	client, err := api.New("http://127.0.0.1:5000")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := client.PredictFile(ctx, "examples/cat.png", api.Params{TopK: 1})
	if err != nil {
		log.Fatal(err)
	}
	best := answer.Results[0].Predictions[0]
	fmt.Printf("%s, %.1f %%\n", best.Label, best.Confidence) // tiger cat, 37.9 %
}

// Problems have a code to decide by.
func ExampleProblem() {
	client, err := api.New("http://127.0.0.1:5000")
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Predict(context.Background(), []byte("not a picture"), api.Params{})
	var problem *api.Problem
	switch {
	case errors.As(err, &problem) && problem.Code == api.UnsupportedFormat:
		fmt.Println("send a JPEG or PNG:", problem.Detail)
	case err != nil:
		log.Fatal(err) // the network's, or another problem
	}
}

// In a request with several pictures, each has its own error.
func ExampleClient_PredictAll() {
	client, err := api.New("http://127.0.0.1:5000", api.WithKey(os.Getenv("VIDI_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	var pictures []api.Picture
	for _, name := range []string{"cat.png", "flower.jpg"} {
		data, err := os.ReadFile("examples/" + name)
		if err != nil {
			log.Fatal(err)
		}
		pictures = append(pictures, api.Picture{Name: name, Data: data})
	}
	answer, err := client.PredictAll(context.Background(), pictures, api.Params{Lang: "zh"})
	if err != nil {
		log.Fatal(err)
	}
	for _, result := range answer.Results {
		if result.Error != nil {
			fmt.Println(result.Filename, result.Error.Detail)
			continue
		}
		fmt.Println(result.Filename, result.Predictions[0].Display)
	}
}

// A server that has just been started answers once its model is loaded.
func ExampleClient_Ready() {
	client, err := api.New("http://127.0.0.1:5000")
	if err != nil {
		log.Fatal(err)
	}
	var problem *api.Problem
	for err = client.Ready(context.Background()); errors.As(err, &problem) && problem.Code == api.NotReady; err = client.Ready(context.Background()) {
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Println("ready:", err == nil)
}
