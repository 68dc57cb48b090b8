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

// each calls f for every item, as many at a time as keep all cores busy, until one fails or ctx ends; the error is the first one's,
// or ctx's.
func each(ctx context.Context, items []Item, f func(ctx context.Context, i int, item Item) error) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0)) // the workers, and as many that read files meanwhile
	for i, item := range items {
		if running.Err() != nil {
			break
		}
		group.Go(func() error { return f(running, i, item) })
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Run has the model look at every picture of the dataset that the journal has no answer for, and returns a record for each item, in
// their order. Pictures that cannot be read become records with an error. step is called after each item, from several goroutines.
// When ctx ends, what was done is in the journal, and the error is ctx's; others are the journal's.
func Run(ctx context.Context, c Classifier, d *Dataset, j *Journal, image preprocess.Options, step func()) ([]Record, error) {
	records := make([]Record, len(d.Items))
	err := each(ctx, d.Items, func(ctx context.Context, i int, item Item) error {
		record, found := j.Find(item)
		if !found {
			var err error
			if record, err = ask(ctx, c, item, image); err != nil {
				return err
			}
			if err := j.Add(record); err != nil {
				return err
			}
		}
		records[i] = record
		step()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// ask returns an error only where the run itself is at an end.
func ask(ctx context.Context, c Classifier, item Item, image preprocess.Options) (Record, error) {
	record := Record{File: item.Name, Class: item.Class}
	record.Bytes, record.Changed = stamp(item.Path) // before it is read: what is changed meanwhile is asked for again
	result, err := look(ctx, c, item, image)
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

// look is the answer with every class: the right one may be anywhere.
func look(ctx context.Context, c Classifier, item Item, image preprocess.Options) (*classify.Result, error) {
	data, err := pictures.ReadFile(item.Path)
	if err != nil {
		return nil, err
	}
	return c.Classify(ctx, data, classify.Options{TopK: 1 << 30, Image: image})
}

// Logits are the outputs of the network for every picture of the dataset that can be read, and the indexes of their right classes;
// the model's activation must be softmax, temperature is its card's. step is called after each item, from several goroutines. The
// error is ctx's.
//
// They are computed back from the probabilities: the logarithm of softmax is the logits less a constant, which softmax takes no
// notice of.
func Logits(ctx context.Context, c Classifier, d *Dataset, temperature float64, image preprocess.Options, step func()) (logits [][]float32, right []int, err error) {
	rows := make([][]float32, len(d.Items))
	err = each(ctx, d.Items, func(ctx context.Context, i int, item Item) error {
		if result, err := look(ctx, c, item, image); err == nil { // the caller counts the others
			rows[i] = logitsOf(result.Predictions, temperature)
		}
		step()
		return nil
	})
	for i, row := range rows {
		if row != nil {
			logits, right = append(logits, row), append(right, d.Items[i].Class)
		}
	}
	return logits, right, err
}

func logitsOf(predictions []classify.Prediction, temperature float64) []float32 {
	const least = math.SmallestNonzeroFloat64 // an answer so unlikely that it became 0 has a logarithm all the same
	row := make([]float32, len(predictions))
	for _, p := range predictions {
		row[p.ClassID] = float32(cmp.Or(temperature, 1) * math.Log(max(p.Probability, least)))
	}
	return row
}
