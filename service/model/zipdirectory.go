package model

import (
	"encoding/binary"
	"io"
)

// directoryEntry is a record in the directory of a zip file.
type directoryEntry struct {
	name                 string
	flags, method        uint16
	packed, size, offset uint64
}

const (
	localHeader     = 30
	directoryHeader = 46
	endRecord       = 22
	end64Record     = 56
	end64Locator    = 20
)

type littleEndian []byte

func (b littleEndian) u16(at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func (b littleEndian) u32(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func (b littleEndian) u64(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// maxDirectory bounds the directory of an archive: that of 100,000 records.
const maxDirectory = 16 << 20

// readDirectory reads the directory as strictly as it can be read: it ends where the file does, nothing lies between it and what
// closes it, and where the file says something twice it says the same. problem is what is wrong, or "".
func readDirectory(r io.ReaderAt, size int64) (entries []directoryEntry, problem string) {
	tail := make([]byte, min(size, endRecord+end64Locator+end64Record))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF || len(tail) < endRecord {
		return nil, "it has no end"
	}
	end := littleEndian(tail[len(tail)-endRecord:])
	if end.u32(0) != 0x06054b50 || end.u16(20) != 0 {
		return nil, "something follows its directory"
	}
	if end.u16(4) != 0 || end.u16(6) != 0 || end.u16(8) != end.u16(10) {
		return nil, "it is said to be in several parts"
	}
	count, length, offset := uint64(end.u16(10)), uint64(end.u32(12)), uint64(end.u32(16))
	closing := uint64(size) - endRecord
	if len(tail) == endRecord+end64Locator+end64Record && littleEndian(tail[end64Record:]).u32(0) == 0x07064b50 {
		locator, end64 := littleEndian(tail[end64Record:]), littleEndian(tail)
		closing -= end64Locator + end64Record
		if locator.u64(8) != closing || end64.u32(0) != 0x06064b50 || end64.u64(4) != end64Record-12 || end64.u64(24) != end64.u64(32) {
			return nil, "the large numbers at its end are not where they should be"
		}
		count64, length64, offset64 := end64.u64(32), end64.u64(40), end64.u64(48)
		if !same(count, count64, 0xffff) || !same(length, length64, 0xffffffff) || !same(offset, offset64, 0xffffffff) {
			return nil, "it says twice where its directory is"
		}
		count, length, offset = count64, length64, offset64
	}
	if length > maxDirectory || offset > closing || offset+length != closing {
		return nil, "its directory does not end where it says"
	}
	directory := make([]byte, length)
	if _, err := r.ReadAt(directory, int64(offset)); err != nil && err != io.EOF {
		return nil, "its directory cannot be read"
	}
	for range count {
		entry, rest, ok := readDirectoryEntry(directory)
		if !ok || entry.offset+localHeader > offset {
			return nil, "its directory is damaged"
		}
		entries, directory = append(entries, entry), rest
	}
	if len(directory) != 0 {
		return nil, "its directory has more records than it says"
	}
	return entries, ""
}

// same reports whether two numbers of a zip file are the same; the short one may be absent, which all bits say.
func same(short, long, absent uint64) bool { return short == long || short == absent }

// readDirectoryEntry reads the first record of the directory.
func readDirectoryEntry(b littleEndian) (entry directoryEntry, rest []byte, ok bool) {
	if len(b) < directoryHeader || b.u32(0) != 0x02014b50 {
		return entry, nil, false
	}
	name, extra, comment := int(b.u16(28)), int(b.u16(30)), int(b.u16(32))
	if len(b) < directoryHeader+name+extra+comment || b.u16(34) != 0 {
		return entry, nil, false
	}
	entry = directoryEntry{
		name: string(b[directoryHeader : directoryHeader+name]), flags: b.u16(8), method: b.u16(10),
		packed: uint64(b.u32(20)), size: uint64(b.u32(24)), offset: uint64(b.u32(42)),
	}
	ok = entry.readLarge(b[directoryHeader+name : directoryHeader+name+extra])
	return entry, b[directoryHeader+name+extra+comment:], ok
}

// readLarge takes the numbers that need 64 bits from the extra field, which must hold just these, once.
func (e *directoryEntry) readLarge(extra littleEndian) (ok bool) {
	found := false
	for len(extra) >= 4 {
		kind, length := extra.u16(0), int(extra.u16(2))
		if len(extra) < 4+length {
			return false
		}
		field := extra[4 : 4+length]
		extra = extra[4+length:]
		if kind != 1 {
			continue
		}
		if found {
			return false
		}
		found = true
		for _, number := range []*uint64{&e.size, &e.packed, &e.offset} {
			if *number != 0xffffffff {
				continue
			}
			if len(field) < 8 {
				return false
			}
			*number, field = field.u64(0), field[8:]
		}
	}
	const mostBytes = 1 << 62 // of a file: sums do not overflow
	return len(extra) == 0 && e.size < mostBytes && e.packed < mostBytes && e.offset < mostBytes &&
		(found || e.size != 0xffffffff && e.packed != 0xffffffff && e.offset != 0xffffffff)
}
