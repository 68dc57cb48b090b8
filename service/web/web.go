// Package web is vidi's page: plain HTML, CSS and ES modules, compiled into the binary as they lie in page/. There is no
// build step, no framework and no resource from elsewhere. page/app.js is where to begin to read.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"path"
	"strings"
	"sync"
)

// Policy is the Content-Security-Policy to serve the page with. It trusts this server's files and nothing else: whatever a
// file name or a label holds, the browser will not run it, and where no trusted types exist it will not even parse it.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Index is the name of the page itself. It looks for the others in web/, relative to its own address.
const Index = "index.html"

// File is one file of the page.
type File struct {
	Name string // as under page/, "samples/cat.jpg"
	Type string // its Content-Type
	ETag string // quoted; another whenever a byte is another
	Data []byte
}

// StatsIndex is the name of the operators' page. Its own files are found by FindStats only, beside all of the page's.
const StatsIndex = "stats.html"

//go:embed page
var page embed.FS

//go:embed stats
var stats embed.FS

// types says what the files are. Go's own table would also read the machine's, and so differ from one to the next.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".jpg":  "image/jpeg",
}

// NewFile is a file with a tag of its own.
func NewFile(name, contentType string, data []byte) File {
	digest := sha256.Sum256(data)
	return File{Name: name, Type: contentType, ETag: `"` + hex.EncodeToString(digest[:16]) + `"`, Data: data}
}

// Find is the file of that name, and whether there is one. Only names of files that exist are found: there is no path to
// walk out of.
func Find(name string) (File, bool) {
	f, ok := files()[name]
	return f, ok
}

// FindStats is Find for the operators' page, which shares the page's style and small helpers.
func FindStats(name string) (File, bool) {
	if f, ok := statsFiles()[name]; ok {
		return f, true
	}
	return Find(name)
}

// Names is every file's name.
func Names() []string {
	var names []string
	for name := range files() {
		names = append(names, name)
	}
	return names
}

// StatsNames is the names of the operators' page's own files.
func StatsNames() []string {
	var names []string
	for name := range statsFiles() {
		names = append(names, name)
	}
	return names
}

var (
	files      = sync.OnceValue(func() map[string]File { return filesOf(page, "page") })
	statsFiles = sync.OnceValue(func() map[string]File { return filesOf(stats, "stats") })
)

func filesOf(folder embed.FS, root string) map[string]File {
	found := map[string]File{}
	err := fs.WalkDir(folder, root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := folder.ReadFile(at)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(at, root+"/")
		found[name] = NewFile(name, types[path.Ext(name)], data)
		return nil
	})
	if err != nil {
		panic(err) // the files are in the binary
	}
	return found
}
