package lists

import (
	"testing"
	"time"
)

// BenchmarkParseMTREE reads the lines of a list.
func BenchmarkParseMTREE(b *testing.B) {
	e := Entry{Path: "tenant-042/2026/03/04/terms & conditions-0123456789abcdef.html", Kind: File, Mode: 0o644, Size: 4711, ModTime: time.Unix(1, 2).UTC()}
	line := AppendMTREE(nil, &e)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := ParseMTREE(line); err != nil {
			b.Fatal(err)
		}
	}
}
