package tree

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/lists"
)

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte("./a type=file mode=0644 uid=0 gid=0 size=1 time=1.000000000 stamp=1f sha256=" + strings.Repeat("0", 64) + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := &journalReader{lines: lists.NewLineReader(bytes.NewReader(data))}
		for {
			e, err := j.Next()
			if err != nil {
				require.ErrorIs(t, err, io.EOF, "a torn journal is no error")
				return
			}
			assert.Equal(t, lists.File, e.Kind)
			assert.True(t, lists.IsDigest(e.SHA256))
		}
	})
}
