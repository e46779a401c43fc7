package overlay

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// isUTF8 reports whether all texts in decoded JSON are. What is not would come
// out of an encoder as something else.
func isUTF8(value any) bool {
	_, found := findText(value, nil, func(text string) bool { return !utf8.ValidString(text) })
	return !found
}

// isUnsupported reports whether a text holds a character that YAML has only as
// an escape. Kustomize writes JSON, in which it needs none, and reads that as
// YAML, which then refuses it or, for NEL, folds it into a space.
func isUnsupported(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return 0x7f <= r && r <= 0x9f || r == 0xfffe || r == 0xffff
	})
}

// findText returns the path of the first text, in the order of keys, of which a
// condition is true, and whether there is one. Keys are texts too.
func findText(value any, at []string, is func(text string) bool) (string, bool) {
	switch v := value.(type) {
	case string:
		return strings.Join(at, "."), is(v)
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if is(key) {
				return strings.Join(at, "."), true
			}
			if found, ok := findText(v[key], append(at, key), is); ok {
				return found, true
			}
		}
	case []any:
		for i, item := range v {
			if found, ok := findText(item, append(at, strconv.Itoa(i)), is); ok {
				return found, true
			}
		}
	}
	return "", false
}
