package pictures

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// LeftOut counts the files of folders that are not taken.
// The zero value is ready to use.
type LeftOut struct {
	kinds   map[Kind]int
	endings map[string]int // of the files that are of no kind
}

// String is what was left out and why, "" where nothing was.
func (l *LeftOut) String() string {
	var unread, others []string
	for _, kind := range slices.SortedFunc(maps.Keys(l.kinds), func(a, b Kind) int {
		return cmp.Or(l.kinds[b]-l.kinds[a], strings.Compare(string(a), string(b)))
	}) {
		count := l.kinds[kind]
		switch {
		case kind.Unread():
			unread = append(unread, fmt.Sprintf("%d %s", count, kind))
		case kind == Other:
			others = append(others, fmt.Sprintf("%d whose names do not end like a picture's (%s)", count, l.commonEndings()))
		default:
			others = append(others, fmt.Sprintf("%d %s", count, kind))
		}
	}
	var parts []string
	if len(unread) > 0 {
		parts = append(parts, strings.Join(unread, ", ")+", which vidi does not read (convert them to JPEG or PNG)")
	}
	if len(others) > 0 {
		parts = append(parts, strings.Join(others, ", "))
	}
	if len(parts) == 0 {
		return ""
	}
	return "left out of folders: " + strings.Join(parts, "; ")
}

// commonEndings are the most common endings, a few.
func (l *LeftOut) commonEndings() string {
	const most = 4
	endings := slices.SortedFunc(maps.Keys(l.endings), func(a, b string) int { return cmp.Or(l.endings[b]-l.endings[a], strings.Compare(a, b)) })
	text := strings.Join(endings[:min(len(endings), most)], " ")
	if len(endings) > most {
		text += " …"
	}
	return text
}

// Add counts a file that is not taken.
func (l *LeftOut) Add(path string, kind Kind) {
	if l.kinds == nil {
		l.kinds, l.endings = map[Kind]int{}, map[string]int{}
	}
	l.kinds[kind]++
	if kind == Other {
		ending := cmp.Or(userfile.Printable(strings.ToLower(filepath.Ext(path))), "no ending")
		if len(l.endings) < 1000 { // a folder may hold anything
			l.endings[ending]++
		}
	}
}
