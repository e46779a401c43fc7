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

// Printable returns text for a reader's terminal: what shows nothing there, moves
// the cursor, begins a line, or changes the order of what is read (control
// characters, U+202E and the like, bytes that are no UTF-8) is written as Go
// escapes it, such as \x1b. Names and messages come from volumes, Git servers and
// other people's objects. Printable text comes back as it is.
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

// PrintableJSON returns JSON of the same values that is fit for a terminal:
// within texts, JSON itself only escapes some of what Printable escapes. Outside
// of them it may be indented.
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

// Sentence returns text with its first letter in upper case, as conditions have
// it, and Printable: no answer to Crossplane could hold what is no UTF-8.
func Sentence(text string) string {
	text = Printable(text)
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
