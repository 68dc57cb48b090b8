package admission

import (
	"cmp"
	"slices"
	"time"
)

// Cost is what a picture is estimated to take, in CPU time.
type Cost struct{ Decode, Inference time.Duration }

// leastCost keeps pictures that are refused at the first look from being free.
const leastCost = time.Millisecond

func (c Cost) all() time.Duration { return max(c.Decode+c.Inference, leastCost) }

// Place is one picture's place in a room. Left must follow. Its methods are safe for concurrent use; a nil place is of nobody
// in particular.
type Place struct {
	visit     *Visit
	cost      time.Duration
	heavy     bool // decoding takes long
	working   bool
	displaced bool
	drop      func() // hears that the place is lost; nil until OnDisplaced
}

// Full says why a picture of the client would be refused now, "" if it would not. It is asked before a body is read.
func (r *Room) Full(of string) Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.use.Bytes >= r.limits.Bytes && r.slowest(nil, false, time.Now()) == nil {
		return Memory
	}
	cost := max(time.Duration(r.typical*float64(time.Second)), leastCost)
	reason := r.crowded(1, cost)
	if reason == "" {
		return ""
	}
	c := r.clients[of]
	if c == nil {
		c = &client{}
	}
	if r.largest(&Visit{room: r, client: c}, cost) != nil {
		return ""
	}
	return reason
}

// crowded says why so many more pictures do not fit. A request with more than there is room for at all may come in when it is the
// only one. The room is locked.
func (r *Room) crowded(n int, work time.Duration) Reason {
	limit := r.limits.Deadline * time.Duration(r.workers)
	switch {
	case r.use.Pictures+n > r.limits.Pictures && (r.use.Pictures > 0 || n <= 1):
		return Pictures
	case limit > 0 && r.use.Pictures > 0 && r.use.Work+work > limit:
		return Work
	}
	return ""
}

// Enter lets the visit's pictures in, all or none: then the reason says why. Waiting pictures of who has more work waiting give
// way.
func (v *Visit) Enter(costs []Cost) (places []*Place, reason Reason) {
	r := v.room
	var work time.Duration
	for _, c := range costs {
		places = append(places, &Place{visit: v, cost: c.all(), heavy: c.Decode >= heavyDecode})
		work += c.all()
	}
	var gone []*Place
	defer func() {
		for _, p := range gone {
			p.drop()
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock() // before the drops are called
	var out []*Place
	for {
		if reason = r.crowded(len(costs), work); reason == "" {
			break
		}
		other := r.largest(v, work)
		if other == nil {
			for _, p := range slices.Backward(out) {
				p.visit.add(p)
			}
			return nil, reason
		}
		p := other.places[len(other.places)-1]
		other.remove(p)
		out = append(out, p)
	}
	for _, p := range out {
		p.displaced = true
		if p.drop != nil {
			gone = append(gone, p)
		}
	}
	for _, p := range places {
		v.add(p)
	}
	return places, ""
}

// add and remove count a waiting place. The room is locked.
func (v *Visit) add(p *Place) {
	v.places = append(v.places, p)
	v.work += p.cost
	v.client.waiting += p.cost
	v.room.use.Pictures++
	v.room.use.Work += p.cost
}

func (v *Visit) remove(p *Place) {
	v.stopWaiting(p)
	v.room.use.Pictures--
	v.room.use.Work -= p.cost
}

func (v *Visit) stopWaiting(p *Place) {
	v.places = slices.DeleteFunc(v.places, func(other *Place) bool { return other == p })
	v.work -= p.cost
	v.client.waiting -= p.cost
}

// largest finds the visit whose waiting pictures give way to so much more work of v's: of the client that has the most waiting the
// visit that has the most, or that of v's own client; nil if v would then have as much. The room is locked.
func (r *Room) largest(v *Visit, work time.Duration) *Visit {
	most := v.client
	for _, c := range r.clients {
		if c.waiting > most.waiting {
			most = c
		}
	}
	if most != v.client && most.waiting > v.client.waiting+work {
		return largestOf(most)
	}
	if own := largestOf(v.client); own != nil && own != v && own.work > v.work+work {
		return own
	}
	return nil
}

func largestOf(c *client) (found *Visit) {
	for v := range c.visits {
		if len(v.places) > 0 && (found == nil || cmp.Compare(v.work, found.work) > 0) {
			found = v
		}
	}
	return found
}

// OnDisplaced has drop called when the place is lost to another picture; it reports false if it is lost already. A picture that
// is being worked on keeps its place.
func (p *Place) OnDisplaced(drop func()) bool {
	p.visit.room.mu.Lock()
	defer p.visit.room.mu.Unlock()
	p.drop = drop
	return !p.displaced
}

// Displaced reports whether the place was lost to another picture.
func (p *Place) Displaced() bool {
	p.visit.room.mu.Lock()
	defer p.visit.room.mu.Unlock()
	return p.displaced
}

// work tells that the picture does not wait any more.
func (p *Place) work() {
	if p == nil {
		return
	}
	r := p.visit.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if !p.displaced && !p.working {
		p.working = true
		p.visit.stopWaiting(p)
	}
}

// isHeavy reports whether decoding takes long, as far as is known.
func (p *Place) isHeavy() bool { return p != nil && (p.heavy || p.visit.heavy.Load()) }

// Left gives the place back; took is how long a worker had the picture, 0 if none did.
func (p *Place) Left(took time.Duration) {
	r := p.visit.room
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case p.displaced:
	case p.working:
		r.use.Pictures--
		r.use.Work -= p.cost
	default:
		p.visit.remove(p)
	}
	if took > 0 {
		const weight = 0.05 // of the newest: the last twenty pictures or so count
		if r.typical == 0 {
			r.typical = took.Seconds()
		}
		r.typical += weight * (took.Seconds() - r.typical)
	}
}
