package model

import (
	"fmt"
	"slices"
	"strings"
)

// A record code/….py.debug_pkl says where in the exporter's own files each piece of code came
// from. libtorch reads it when it makes the text of an error, and takes its numbers for places in a
// list without looking.

// checkDebugRecords holds these records against what PyTorch writes; trap is what is wrong, or "".
func (a archive) checkDebugRecords() (trap string) {
	for name, record := range a.records {
		if !strings.HasPrefix(name, "code/") || !strings.HasSuffix(name, ".debug_pkl") {
			continue
		}
		data, err := readEntry(record, maxPickleBytes)
		if err != nil {
			return fmt.Sprintf("a damaged archive: its record %q cannot be read", name)
		}
		value, _, trap := a.unpickle(name, data)
		if trap != "" {
			return trap
		}
		if !new(debugRecord).read(value) {
			return fmt.Sprintf("a damaged archive: its record %q is not written "+
				"as PyTorch writes where code came from", name)
		}
	}
	return ""
}

type debugRecord struct {
	texts  []any // of the record, where its sources are lists of them
	pieces int
	length map[*networkTuple]int64 // of the sources' texts
}

const (
	withTexts  = "FORMAT_WITH_STRING_TABLE"
	mostPieces = 4_000_000 // of all sources
	mostText   = 1 << 30   // of one source
	mostLines  = 1 << 30
)

// read reads ("FORMAT_WITH_STRING_TABLE", texts, lines), or the lines alone, as PyTorch before 1.11
// wrote them.
func (d *debugRecord) read(value any) bool {
	d.length = map[*networkTuple]int64{}
	all, is := value.(*networkTuple)
	if !is || len(all.items) == 0 {
		return is
	}
	lines := all.items
	if all.items[0] == any(withTexts) {
		var texts, of *networkTuple
		if !scan(all.items, nil, &texts, &of) || slices.ContainsFunc(texts.items, notString) {
			return false
		}
		d.texts, lines = texts.items, of.items
	}
	return !slices.ContainsFunc(lines, func(line any) bool { return !d.readLine(line) })
}

func (d *debugRecord) isText(i int64) bool { return 0 <= i && i < int64(len(d.texts)) }

func notString(v any) bool { _, is := v.(string); return !is }

// readLine reads (place in the code, (source, begin, end), number); some versions of PyTorch wrote
// no number, or put it second. Where no source is known its text is empty, and the end is 1.
func (d *debugRecord) readLine(line any) bool {
	items, _ := line.(*networkTuple)
	var part, source *networkTuple
	var place, number, begin, end int64
	switch {
	case items == nil:
		return false
	case scan(items.items, &place, &part, &number), scan(items.items, &place, &number, &part):
	case scan(items.items, &place, &part):
	default:
		return false
	}
	return place >= 0 && scan(part.items, &source, &begin, &end) && d.readSource(source) &&
		0 <= begin && begin <= d.length[source] && begin <= end && end <= mostText
}

// readSource reads (texts, name of the file, number of the first line).
func (d *debugRecord) readSource(source *networkTuple) bool {
	if _, known := d.length[source]; known {
		return true
	}
	var text string
	var first, file, length int64
	if len(d.texts) == 0 {
		if !scan(source.items, &text, nil, &first) ||
			source.items[1] != nil && notString(source.items[1]) {
			return false
		}
		length = int64(len(text))
	} else {
		var pieces *networkList
		if !scan(source.items, &pieces, &file, &first) || !d.isText(file) ||
			pieces.of == nil || !pieces.of.Equal(intList) {
			return false
		}
		if d.pieces += len(pieces.items); d.pieces > mostPieces {
			return false
		}
		for _, piece := range pieces.items {
			i, is := piece.(int64)
			if !is || !d.isText(i) {
				return false
			}
			length += int64(len(d.texts[i].(string)))
		}
	}
	d.length[source] = length
	return length <= mostText && 0 <= first && first <= mostLines
}
