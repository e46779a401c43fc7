package dirfd

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// TestSyncer: a sync that fails is told by Close, and there is none before enough was written.
func TestSyncer(t *testing.T) {
	cases := map[string]struct {
		why          string
		files, bytes int64
		syncs        bool
	}{
		"little":      {"a small volume has one sync, at the end", syncFiles - 2, syncBytes - 2, false},
		"many files":  {"their metadata is what takes long", syncFiles - 1, 0, true},
		"large files": {"their content is", 0, syncBytes - 1, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := NewSyncer(&Dir{Path: "/gone", FD: -1})
			s.Wrote(tc.files, tc.bytes)
			s.Wrote(1, 1)
			err := s.Close()
			if !tc.syncs {
				assert.NoError(t, err, tc.why)
				return
			}
			assert.ErrorIs(t, err, unix.EBADF, tc.why)
			assert.ErrorContains(t, err, "/gone")
		})
	}
}
