package engine

import (
	"fmt"
	"runtime"
)

// Plan is how the cores are shared out. Two shapes of work want two plans: when many pictures wait, one core each gives the
// most pictures a second; when one picture has the machine to itself, all cores on it give the earliest answer. The fuser
// compiles the number of threads into its kernels, so each shape has a warm module of its own (docs/notes/0003-two-modules-for-the-cores.md).
type Plan struct {
	Cores   int // that this process may use
	Workers int // inferences at the same time
	// Images are worked on at the same time: one more than there are workers, so that the next one is decoded
	// while they compute, and no core waits for it.
	Images  int
	Threads int // of each worker, for inference
	Alone   int // threads for a picture that has the machine to itself; Threads means that it gets no special treatment
}

// plan resolves the zeros of the config. The cores are those that Go may use: they follow the affinity mask and the quota of
// a container, where libtorch alone would count the machine's.
func (c Config) plan() Plan {
	p := Plan{Cores: runtime.GOMAXPROCS(0), Workers: c.Workers, Threads: c.Threads, Alone: c.Alone}
	if p.Workers == 0 {
		p.Workers = max(1, p.Cores/max(p.Threads, 1))
	}
	if p.Threads == 0 {
		p.Threads = max(1, p.Cores/p.Workers)
	}
	if p.Alone == 0 {
		p.Alone = p.Cores
	}
	p.Alone = max(p.Alone, p.Threads)
	p.Images = p.Workers + 1
	return p
}

// TwoModules reports whether a picture that is alone runs on a module of its own.
func (p Plan) TwoModules() bool { return p.Alone > p.Threads }

// String is for people: "2 cores: 2 workers × 1 thread, a picture alone gets 2 threads".
func (p Plan) String() string {
	s := fmt.Sprintf("%s: %s × %s", count(p.Cores, "core"), count(p.Workers, "worker"), count(p.Threads, "thread"))
	if p.TwoModules() {
		s += fmt.Sprintf(", a picture alone gets %s", count(p.Alone, "thread"))
	}
	return s
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
