// Package backend is what the engine needs of a library that computes networks, such as libtorch.
//
// A [Backend] knows one library and one kind of model file. It opens a file as a [Network], which
// runs on the backend's own workers. The engine above it decides how many workers there are, and
// which image goes to which of them; it knows no library.
//
// Whoever adds a backend writes one package that implements the three interfaces, holds it to the
// suite in service/backend/conformance, and names it in service/backend/backends.
package backend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/vidi-vision/vidi/service/model"
)

// Backend is one library. Its methods are safe for concurrent use.
type Backend interface {
	// Name is the library's name in lower case, for people and for metrics.
	Name() string
	// Sniff reports whether the file is of the kind that this library reads, by its name and its
	// first [HeadBytes] bytes, or fewer where it is shorter.
	Sniff(head []byte, name string) bool
	// Variants are the ways in which the library runs a network on this machine, the preferred one
	// first. The last one changes nothing in the network: it is the reference for the others.
	Variants() ([]model.Engine, error)
	// Auto is the precision in which networks are fastest on this CPU. It depends on the kind of CPU
	// only, so that servers of one kind give the same results.
	Auto() (Precision, error)
	// Gain is how many times as fast w computes in bf16 as in fp32, measured now in at most a tenth
	// of a second; 0 if the library cannot tell.
	Gain(ctx context.Context, w Worker) (float64, error)
	// NewWorker starts a worker whose inferences use that many threads (≥ 1), and whose priority is
	// lower by nice, from 0 to 19. The caller must Close it.
	NewWorker(threads, nice int) (Worker, error)
	// Load reads the file that was looked at, and no other one. It is called inside w.Do and returns
	// a network that is still cold. Errors: [NotFound], [BadModel], [OutOfMemory].
	Load(w Worker, file *model.File, o Options) (Network, error)
	// Trim gives memory that is not in use back to the system.
	Trim()
}

// HeadBytes are what [Backend.Sniff] gets to see of a file.
const HeadBytes = 512

// Worker is threads that run a network, one inference at a time. Its methods are safe for concurrent
// use.
type Worker interface {
	// Do calls job on the worker's own thread and returns its error. ctx ends only the wait for it.
	Do(ctx context.Context, job func() error) error
	// Close waits for the job and the inference under way.
	Close() error
}

// Network is a loaded model. Close ends it; the other methods are safe for concurrent use once it is
// warm.
type Network interface {
	// Outputs are what Run returns, in that order. Shapes are known once the network is warm.
	Outputs() []Port
	// Warm runs the network until it is as fast as it gets on workers with w's number of threads,
	// and returns what Run would. Nobody else may use it meanwhile.
	Warm(w Worker, in Input) ([]Output, error)
	// Fork is the network for workers with another number of threads. It shares the weights where
	// the library can. The caller must warm it, and close both, in any order.
	Fork() (Network, error)
	// Run computes the outputs on w. It returns early, with ctx's error, when ctx ends. What cannot
	// be interrupted then has left: until that channel is closed it keeps w, the network and in's
	// bytes. left is nil where nothing goes on. Errors: [Failed], [BadModel], [OutOfMemory],
	// [TooSlow], [ErrClosed].
	Run(ctx context.Context, w Worker, in Input) (outputs []Output, left <-chan struct{}, err error)
	// SetLimits says what each Run that begins from now on may cost, of forks that are made from now
	// on, too.
	SetLimits(l Limits)
	// Limits are those that were set.
	Limits() Limits
	// Peaks are the most bytes that the library had in use for tensors at one time: while the
	// network was loaded, and in one Run. 0 is not known.
	Peaks() (loading, running int64)
	// Close waits for runs under way and frees the network; [Backend.Trim] gives its memory back to the
	// system. Further calls do nothing.
	Close() error
}

// Precision is the element type that a network computes in.
type Precision string

// The precisions. A quantised network is loaded as FP32: its operators are of 8 bits already.
const (
	FP32 Precision = "fp32"
	BF16 Precision = "bf16"
)

// Options say how a network is loaded.
type Options struct {
	Variant   model.Engine // one of [Backend.Variants]
	Precision Precision
	MaxBytes  int64 // of tensors at one time while it is loaded; 0 is no limit
}

// Limits are what one run may cost; 0 is no limit.
type Limits struct {
	Bytes int64 // of tensors that the run makes, at one time
	Time  time.Duration
}

// Input is what a network computes: images, or where Shape is set a tensor.
type Input struct {
	RGB   []byte // Count crops, one after the other: rows of 3 bytes a pixel, without padding
	Count int
	Model model.Input // the crops' size, and how their values are normalised

	Shape  []int64   // of a tensor of float32, as the network takes it
	Values []float32 // its elements, row-major
}

// PortKind is what an output means.
type PortKind string

// The kinds of outputs.
const (
	Scores    PortKind = "scores"    // count × classes
	Embedding PortKind = "embedding" // count × dimensions
	Map       PortKind = "map"       // count × channels × height × width
)

// Port is an output of a network.
type Port struct {
	Name  string
	Kind  PortKind
	DType string  // as NumPy writes it, such as "float32"
	Shape []int64 // of a run with one image
}

// MaxElements is how many numbers one image's output has at most. A tensor may claim any size
// without having memory for it.
const MaxElements = 1 << 20

// Output is one output of a run.
type Output struct {
	Port
	// Values are the elements, row-major. They are nil where the elements are no floating-point
	// numbers, or more than [MaxElements] for each image. The caller owns them.
	Values []float32
}

// Floating reports whether the elements are floating-point numbers.
func (o Output) Floating() bool { return strings.Contains(o.DType, "float") }

// String is the type and shape, as float32[1×1000].
func (o Output) String() string {
	axes := make([]string, len(o.Shape))
	for i, n := range o.Shape {
		axes[i] = fmt.Sprint(n)
	}
	return fmt.Sprintf("%s[%s]", o.DType, strings.Join(axes, "×"))
}

// Pick is the first of the backends that reads the file.
func Pick(all []Backend, file *model.File) (Backend, error) {
	content, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	head := make([]byte, HeadBytes)
	n, err := content.ReadAt(head, 0)
	if n == 0 && err != nil {
		return nil, err
	}
	var names []string
	for _, b := range all {
		if b.Sniff(head[:n], file.Path) {
			return b, nil
		}
		names = append(names, b.Name())
	}
	return nil, &Error{Kind: BadModel, Message: fmt.Sprintf(
		"%s is no model file that this program reads (%s)", file.Path, strings.Join(names, ", "))}
}
