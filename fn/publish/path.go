package publish

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is how long a component of a path may be, in bytes, on common file systems.
const maxName = 255

// checkPath refuses a path that a checkout could take for another: absolute,
// not clean, with components that file systems or Git read in a way of their own.
func checkPath(name string) error {
	if name == "" || name == "." || path.Clean(name) != name || strings.HasPrefix(name, "/") {
		return fail(PathRefused, "cannot use the path %q: it must be relative to the repository's root, below it, and without '.', '..' and double slashes", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if reason := badComponent(part); reason != "" {
			return fail(PathRefused, "cannot use the path %q: its part %q %s", name, part, reason)
		}
	}
	return nil
}

func badComponent(part string) string {
	// What HFS+ ignores and NTFS drops at the end, so that ".g\u200cit" and ".git. " are .git.
	folded := strings.ToLower(strings.TrimRight(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, part), ". "))
	switch {
	case part == "..":
		return "leads out of the directory"
	case folded == ".git" || strings.HasPrefix(folded, "git~") || strings.HasPrefix(folded, ".git:"):
		return "is Git's own directory"
	case len(part) > maxName:
		return "is too long"
	case !utf8.ValidString(part), strings.ContainsFunc(part, unicode.IsControl), strings.Contains(part, `\`):
		return "has characters that are not the same on every system"
	default:
		return ""
	}
}

// below reports whether a path is in one of the folders.
func below(folders []string, name string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(name, folder+"/") })
}
