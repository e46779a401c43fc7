package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRootsOfTheImage: the image has no file system to read certificate
// authorities from, and Git servers have certificates that public ones signed.
func TestRootsOfTheImage(t *testing.T) {
	if os.Getenv("SSL_CERT_FILE") == os.DevNull {
		pool, err := x509.SystemCertPool()
		require.NoError(t, err)
		assert.False(t, pool.Equal(x509.NewCertPool()), "it knows some")
		return
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRootsOfTheImage$", "-test.v")
	again.Env = []string{"SSL_CERT_FILE=" + os.DevNull, "SSL_CERT_DIR=" + t.TempDir()}
	out, err := again.CombinedOutput()
	assert.NoError(t, err, string(out))
}
