package codec

import (
	"runtime"
	"sync"

	"github.com/vidi-vision/vidi/cgo/cthread"
)

// threads are those that nobody needs now: no more than pictures can be decoded at full speed. Further
// ones end after use. One that was made on a thread of low priority keeps that. The number of cores is
// known once the quota has been applied, which is after this package was loaded.
var threads = sync.OnceValue(func() chan *cthread.Thread {
	return make(chan *cthread.Thread, runtime.GOMAXPROCS(0))
})

// takeThread is nil where the system gives no more threads or descriptors: a picture is decoded on the
// caller's thread then.
func takeThread() *cthread.Thread {
	select {
	case t := <-threads():
		return t
	default:
	}
	t, err := cthread.New("vi-decoder")
	if err != nil {
		return nil
	}
	return t
}

// giveBack is for a thread from takeThread.
func giveBack(t *cthread.Thread) {
	if t == nil {
		return
	}
	select {
	case threads() <- t:
	default:
		t.Close()
	}
}

// EndThreads ends the threads that wait for pictures, and closes their descriptors.
func EndThreads() {
	for {
		select {
		case t := <-threads():
			t.Close()
		default:
			return
		}
	}
}
