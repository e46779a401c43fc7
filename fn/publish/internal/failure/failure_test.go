package failure

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPrintable(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"plain":  {"a b", "a b"},
		"lines":  {"a\r\n\n b\n", "a; b"},
		"escape": {"\x1b[31mred\x07\tx", "[31mred x"},
		"binary": {"a\xff\x00b\u202e", "a\uFFFDb"},
		"long":   {strings.Repeat("ä", MaxWords), strings.Repeat("ä", MaxWords/2) + "..."},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, Printable(tc.text)) })
	}
}
