package admission

import "math"

// smallPart is the part of the memory that there is on top of it for small pictures, and the part of
// that which one of them may take.
const smallPart = 16

// memory is what pictures are decoded in. The turns' lock is its own.
type memory struct{ all, free, small int64 }

// lot is what a picture has of a memory.
type lot struct{ bytes, small int64 }

func unbounded() (m memory) {
	m.bound(math.MaxInt64)
	return m
}

// bound changes the whole; what pictures have of it stays theirs.
func (m *memory) bound(bytes int64) {
	m.free += bytes - m.all
	m.small += bytes/smallPart - m.all/smallPart
	m.all = bytes
}

// has reports whether a picture that needs so much can have it. One that needs more than there is
// gets all.
func (m *memory) has(bytes int64) bool { return min(bytes, m.all) <= m.free || m.hasSmall(bytes) }

// hasSmall reports whether there is room for it among the small ones.
func (m *memory) hasSmall(bytes int64) bool {
	return bytes <= min(m.small, m.all/smallPart/smallPart)
}

// take takes what has, or hasSmall, was asked about. Small ones come to their own first, so that a
// large one which waits can have all else.
func (m *memory) take(bytes int64) lot {
	if m.hasSmall(bytes) {
		m.small -= bytes
		return lot{small: bytes}
	}
	bytes = min(bytes, m.all)
	m.free -= bytes
	return lot{bytes: bytes}
}

func (m *memory) give(l lot) {
	m.free += l.bytes
	m.small += l.small
}
