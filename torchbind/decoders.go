package torchbind

import (
	"runtime"

	"github.com/vidi-vision/vidi/cgo/cthread"
)

// decoders are C threads for pictures, while nobody needs them: no more than pictures can be decoded at full speed. Further ones end after
// use. One that was made on a thread of low priority keeps that.
var decoders = make(chan *cthread.Thread, runtime.GOMAXPROCS(0))

// takeDecoder is nil where the system gives no more threads or descriptors: a picture is decoded on the caller's thread then.
func takeDecoder() *cthread.Thread {
	select {
	case r := <-decoders:
		return r
	default:
	}
	r, err := cthread.New("tb-runner")
	if err != nil {
		return nil
	}
	return r
}

// giveBackDecoder is for a thread from takeDecoder.
func giveBackDecoder(r *cthread.Thread) {
	if r == nil {
		return
	}
	select {
	case decoders <- r:
	default:
		r.Close()
	}
}

// endDecoders ends those that nobody needs now.
func endDecoders() {
	for {
		select {
		case r := <-decoders:
			r.Close()
		default:
			return
		}
	}
}
