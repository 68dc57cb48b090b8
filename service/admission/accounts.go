package admission

import (
	"maps"
	"time"
)

// A clock tells how much CPU time each of those had that always waited for some: who comes begins there, so that nobody saves up.
// It and all accounts are in seconds.
type clock[K comparable] struct {
	now  float64
	used map[K]float64 // by those who had more than that
}

// at is what k has used, as far as it counts.
func (c *clock[K]) at(k K) float64 { return max(c.used[k], c.now) }

// serve charges k for work. As much of it as each had, were there one more than those among whom it is shared out, moves the clock on:
// so who comes next is before those who have just had some.
func (c *clock[K]) serve(k K, work time.Duration, among int) {
	start := c.at(k)
	c.now = start + work.Seconds()/float64(among+1)
	c.set(k, start+work.Seconds())
	if len(c.used) > 2*among+32 {
		maps.DeleteFunc(c.used, func(_ K, used float64) bool { return used <= c.now })
	}
}

// charge charges k for more work.
func (c *clock[K]) charge(k K, more time.Duration) { c.set(k, c.at(k)+more.Seconds()) }

func (c *clock[K]) set(k K, used float64) {
	if c.used == nil {
		c.used = map[K]float64{}
	}
	c.used[k] = used
}

// accounts is the clock of the clients, and of each client that of its requests.
type accounts struct {
	clients  clock[string]
	requests map[string]*clock[*Visit]
}

func (a *accounts) requestsOf(client string) *clock[*Visit] {
	if c := a.requests[client]; c != nil {
		return c
	}
	if a.requests == nil {
		a.requests = map[string]*clock[*Visit]{}
	}
	c := &clock[*Visit]{}
	a.requests[client] = c
	return c
}

// used is what the place's client has used, and its request: the order of turns.
func (a *accounts) used(p *Place) [2]float64 {
	client := p.visit.client.name
	return [2]float64{a.clients.at(client), a.requestsOf(client).at(p.visit)}
}

// serve charges for a picture that gets its turn before those that wait.
func (a *accounts) serve(p *Place, waiting []*waiter) {
	client := p.visit.client.name
	clients, visits := map[string]bool{client: true}, map[*Visit]bool{p.visit: true}
	for _, w := range waiting {
		if w.place == nil {
			continue
		}
		clients[w.place.visit.client.name] = true
		if w.place.visit.client.name == client {
			visits[w.place.visit] = true
		}
	}
	a.clients.serve(client, p.cost, len(clients))
	a.requestsOf(client).serve(p.visit, p.cost, len(visits))
	if len(a.requests) > 2*len(clients)+32 {
		maps.DeleteFunc(a.requests, func(name string, _ *clock[*Visit]) bool { return !clients[name] })
	}
}

// charge charges for what a picture took beyond its estimate.
func (a *accounts) charge(p *Place, more time.Duration) {
	a.clients.charge(p.visit.client.name, more)
	a.requestsOf(p.visit.client.name).charge(p.visit, more)
}

// forget is for when nobody works or waits: nobody has had more than anybody else who waits.
func (a *accounts) forget() { *a = accounts{} }
