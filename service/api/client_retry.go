package api

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const firstBackoff = 250 * time.Millisecond // doubled each time

// backoff is how to wait before a request is sent again.
type backoff struct {
	told time.Duration // by Retry-After; 0 if the server did not say
}

// wait is what the server asked for, and a random part of a span that grows with each attempt: clients that were turned
// away together shall not come back together.
func (b *backoff) wait(attempt int) time.Duration {
	span := firstBackoff << min(attempt, 16)
	return b.told + span/2 + rand.N(span/2)
}

// retryAfter reads the header: seconds, or a date. What cannot be read is 0, and a year stands for all that is longer.
func retryAfter(value string, now time.Time) time.Duration {
	const year = 365 * 24 * time.Hour
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), int(year/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), year)
	}
	return 0
}
