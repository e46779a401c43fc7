package job

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentence returns text with its first letter in upper case, as conditions have
// it, and in valid UTF-8: no answer to Crossplane could hold anything else.
func Sentence(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
