package torchbind

import "runtime"

// decoders are runners that decode pictures, while nobody needs them: as many as can be at work at the same time. Further ones end after
// use.
var decoders = make(chan *runner, runtime.NumCPU())

// decode has a runner do that.
func decode(do func(*runner) error) error {
	var r *runner
	select {
	case r = <-decoders:
	default:
		var err error
		if r, err = newRunner(1); err != nil {
			return err
		}
	}
	defer func() {
		select {
		case decoders <- r:
		default:
			r.close()
		}
	}()
	return do(r)
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
