package job

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Printable returns text that is safe on a terminal. Control characters, marks that
// change the reading order such as U+202E, and bytes that are not UTF-8 are written as
// Go escapes them, such as \x1b. Names and messages come from volumes, Git servers and
// other people's objects. Printable text is returned unchanged.
func Printable(text string) string {
	var b strings.Builder
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			quoted := strconv.Quote(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}

// PrintableJSON returns JSON of the same values that is safe on a terminal: JSON itself
// escapes only some of what Printable escapes. It may be indented.
func PrintableJSON(text []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

// Sentence returns text with its first letter in upper case, as conditions have it, and
// Printable: an answer to Crossplane can hold only UTF-8.
func Sentence(text string) string {
	text = Printable(text)
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
