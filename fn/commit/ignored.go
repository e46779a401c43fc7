package commit

import (
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"

	"threescale.dev/backup/fn/publish"
)

// Hidden returns the first file that an edit writes and Flux would not fetch, "" if it fetches them all. See ignored.
func Hidden(files fs.FS, specIgnore *string, edit publish.Edit) string {
	return ignored(files, specIgnore, slices.Sorted(maps.Keys(edit.Write))...)
}

// ignored returns the first of some files of a repository that Flux leaves out
// of what it fetches, "" if it fetches them all: as source-controller does it, by
// the .sourceignore files above them and spec.ignore of the GitRepository, which has
// the last word, or where there are neither by Flux' defaults.
func ignored(files fs.FS, specIgnore *string, paths ...string) string {
	rules := &ignoreRules{files: files, read: map[string][]gitignore.Pattern{}}
	if specIgnore != nil {
		rules.spec = sourceignore.ReadPatterns(strings.NewReader(*specIgnore), nil)
	}
	for _, file := range paths {
		if rules.match(file) {
			return file
		}
	}
	return ""
}

// maxIgnore bounds what is read of a .sourceignore, in bytes.
const maxIgnore = 256 << 10

// ignoreRules reads each .sourceignore once.
type ignoreRules struct {
	files fs.FS
	spec  []gitignore.Pattern
	read  map[string][]gitignore.Pattern
}

func (r *ignoreRules) match(file string) bool {
	parts := strings.Split(file, "/")
	var patterns []gitignore.Pattern
	for depth := range parts {
		patterns = append(patterns, r.of(parts[:depth])...)
	}
	patterns = append(patterns, r.spec...)
	if len(patterns) == 0 {
		patterns = sourceignore.DefaultPatterns(nil)
	}
	return sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), patterns...)).Match(parts, false)
}

// of are the patterns of a folder's own .sourceignore.
func (r *ignoreRules) of(folder []string) []gitignore.Pattern {
	name := path.Join(path.Join(folder...), sourceignore.IgnoreFile)
	patterns, known := r.read[name]
	if known {
		return patterns
	}
	if file, err := r.files.Open(name); err == nil { // else there is none
		patterns = sourceignore.ReadPatterns(io.LimitReader(file, maxIgnore), slices.Clone(folder))
		_ = file.Close() // it was only read
	}
	r.read[name] = patterns
	return patterns
}
