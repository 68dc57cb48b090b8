package eval

import (
	"cmp"
	"context"
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/pictures"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// Classifier is the model that is measured; [*classify.Classifier] is the real one.
type Classifier interface {
	Classify(ctx context.Context, data []byte, o classify.Options) (*classify.Result, error)
}

// kept is how many answers of each picture are kept: as many as top-5 needs.
const kept = 5

// Run has the model look at every picture of the dataset that the journal has no answer for, as many at a time as keep all cores
// busy, and returns a record for each item, in their order. Pictures that cannot be read become records with an error. step is
// called after each item. When ctx ends, what was done is in the journal, and the error is ctx's.
func Run(ctx context.Context, c Classifier, d *Dataset, j *Journal, image preprocess.Options, step func()) ([]Record, error) {
	records := make([]Record, len(d.Items))
	var group errgroup.Group
	group.SetLimit(2 * runtime.GOMAXPROCS(0)) // the workers, and as many that read files meanwhile
	for i, item := range d.Items {
		if record, ok := j.Find(item); ok {
			records[i] = record
			step()
			continue
		}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			record, err := ask(ctx, c, item, image)
			if err != nil {
				return err
			}
			records[i] = record
			step()
			return j.Add(record)
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return records, err
}

// ask returns an error only where the run itself is at an end.
func ask(ctx context.Context, c Classifier, item Item, image preprocess.Options) (Record, error) {
	record := Record{File: item.Name, Class: item.Class}
	data, err := pictures.ReadFile(item.Path)
	var result *classify.Result
	if err == nil {
		result, err = c.Classify(ctx, data, classify.Options{TopK: 1 << 30, Image: image}) // all: the right class may be anywhere
	}
	if ctx.Err() != nil {
		return record, ctx.Err()
	}
	if err != nil {
		record.Error = err.Error()
		return record, nil
	}
	for i, p := range result.Predictions {
		if i < kept {
			record.Top = append(record.Top, Guess{Class: p.ClassID, Probability: p.Probability})
		}
		if p.ClassID == item.Class {
			record.Right = p.Probability
		}
	}
	t := result.Timing
	record.Milliseconds = classify.Milliseconds(t.Decode + t.Preprocess + t.Inference)
	return record, nil
}

// Logits are the outputs of the network for every picture of the dataset that can be read, and the indexes of their right classes;
// the model's activation must be softmax, temperature is its card's. step is called after each item.
//
// They are computed back from the probabilities: the logarithm of softmax is the logits less a constant, which softmax takes no
// notice of.
func Logits(ctx context.Context, c Classifier, d *Dataset, temperature float64, image preprocess.Options, step func()) (logits [][]float32, right []int, err error) {
	rows := make([][]float32, len(d.Items))
	var group errgroup.Group
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, item := range d.Items {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			defer step()
			data, err := pictures.ReadFile(item.Path)
			if err != nil {
				return nil //nolint:nilerr // counted by the caller, as a picture that cannot be decoded
			}
			if result, err := c.Classify(ctx, data, classify.Options{TopK: 1 << 30, Image: image}); err == nil {
				rows[i] = logitsOf(result.Predictions, temperature)
			}
			return nil
		})
	}
	_ = group.Wait() // returns none
	for i, row := range rows {
		if row != nil {
			logits, right = append(logits, row), append(right, d.Items[i].Class)
		}
	}
	return logits, right, ctx.Err()
}

func logitsOf(predictions []classify.Prediction, temperature float64) []float32 {
	const least = math.SmallestNonzeroFloat64 // an answer so unlikely that it became 0 has a logarithm all the same
	row := make([]float32, len(predictions))
	for _, p := range predictions {
		row[p.ClassID] = float32(cmp.Or(temperature, 1) * math.Log(max(p.Probability, least)))
	}
	return row
}
