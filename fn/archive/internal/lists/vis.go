package lists

import "errors"

var errVis = errors.New("malformed escape")

// appendVis appends s in the octal style of vis(3). What is not escaped means nothing to any reader of mtree(5): no
// space, no glob character, no comment, no equals sign.
func appendVis(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if plainVis(c) {
			b = append(b, c)
			continue
		}
		b = append(b, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
	}
	return b
}

// Escape returns a path escaped for messages and JSON, which hold only UTF-8.
func Escape(path string) string { return string(appendVis(nil, path)) }

// Unescape reverses Escape.
func Unescape(text string) (string, error) { return unvis([]byte(text)) }

// plainVis reports whether a byte stands for itself.
func plainVis(c byte) bool {
	switch c {
	case '\\', '#', '*', '?', '[', '=':
		return false
	}
	return c > ' ' && c < 0x7f
}

// unvis reverses appendVis and accepts nothing that appendVis does not write, so that a string has one form.
func unvis(b []byte) (string, error) {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			if !plainVis(b[i]) {
				return "", errVis
			}
			out = append(out, b[i])
			continue
		}
		c, ok := octal(b[i+1:])
		if !ok || plainVis(c) {
			return "", errVis
		}
		out = append(out, c)
		i += 3
	}
	return string(out), nil
}

// octal reads the three digits of an escape.
func octal(b []byte) (byte, bool) {
	if len(b) < 3 || b[0] < '0' || b[0] > '3' || b[1] < '0' || b[1] > '7' || b[2] < '0' || b[2] > '7' {
		return 0, false
	}
	return (b[0]-'0')<<6 | (b[1]-'0')<<3 | (b[2] - '0'), true
}
