package torchbind

import "runtime"

// decoders are runners for pictures, while nobody needs them: no more than pictures can be decoded at full speed. Further ones end after
// use. One that was made on a thread of low priority keeps that.
var decoders = make(chan *runner, runtime.GOMAXPROCS(0))

// takeDecoder is nil where the system gives no more threads or descriptors: a picture is decoded on the caller's thread then.
func takeDecoder() *runner {
	select {
	case r := <-decoders:
		return r
	default:
	}
	r, err := newRunner(1)
	if err != nil {
		return nil
	}
	return r
}

// giveBack is for a runner from takeDecoder.
func (r *runner) giveBack() {
	if r == nil {
		return
	}
	select {
	case decoders <- r:
	default:
		r.close()
	}
}

// endDecoders ends those that nobody needs now.
func endDecoders() {
	for {
		select {
		case r := <-decoders:
			r.close()
		default:
			return
		}
	}
}
