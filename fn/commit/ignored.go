package commit

import (
	"io/fs"
	"path"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
)

// Ignored returns the first of some files of a repository that Flux leaves out
// of what it fetches, "" if it fetches them all: by spec.ignore of the
// GitRepository, if that is set, else by the .sourceignore files above them and
// by Flux' defaults.
func Ignored(files fs.FS, specIgnore *string, paths ...string) string {
	for _, file := range paths {
		if isIgnored(files, specIgnore, file) {
			return file
		}
	}
	return ""
}

func isIgnored(files fs.FS, specIgnore *string, file string) bool {
	parts := strings.Split(file, "/")
	patterns := sourceignore.VCSPatterns(nil)
	if specIgnore != nil {
		patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(*specIgnore), nil)...)
		return sourceignore.NewMatcher(patterns).Match(parts, false)
	}
	patterns = append(patterns, sourceignore.DefaultPatterns(nil)...)
	for depth := range parts {
		folder := parts[:depth]
		data, err := fs.ReadFile(files, path.Join(path.Join(folder...), sourceignore.IgnoreFile))
		if err != nil {
			continue // there is none
		}
		patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(string(data)), folder)...)
	}
	return sourceignore.NewMatcher(patterns).Match(parts, false)
}
