package archive

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReopenedAfterClose: a request that failed may read on when the file is closed, and must not open it again.
func TestReopenedAfterClose(t *testing.T) {
	opened := 0
	r := &reopened{open: func() (io.ReadCloser, error) {
		if opened++; opened == 2 {
			return nil, errors.New("gone")
		}
		return io.NopCloser(strings.NewReader("content")), nil
	}}
	p := make([]byte, 3)
	n, err := r.ReadAt(p, 4)
	require.NoError(t, err)
	assert.Equal(t, "ent", string(p[:n]))
	_, err = r.ReadAt(p, 0)
	require.ErrorContains(t, err, "gone")
	_, err = r.ReadAt(p, 0)
	require.NoError(t, err, "it is opened anew")
	assert.Equal(t, "con", string(p))
	require.NoError(t, r.Close())
	_, err = r.ReadAt(p, 0)
	require.ErrorIs(t, err, fs.ErrClosed)
	require.NoError(t, r.Close())
	assert.Equal(t, 3, opened)
}
