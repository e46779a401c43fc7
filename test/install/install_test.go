//go:build e2e

package install

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/gitserver"
)

// TestREADME is the whole way: install, back up, restore, upgrade, uninstall.
func TestREADME(t *testing.T) {
	registry, err := shared.StartRegistry(t.Context())
	require.NoError(t, err)
	r := newReader(t, toolsOf(t)...)
	server, err := gitserver.Start(shared.Dir() + "/git")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	product, err := server.CreateRepository(t.Context(), "threescale-backup", "main", r.clone+"/manifests")
	require.NoError(t, err)
	_ = strings.Replace
	start := time.Now()
	r.follow("Install",
		"registry.example.com/backup", registry+"/backup",
		"https://git.example.com/platform/threescale-backup.git", product.HTTP())
	t.Logf("installed after %s", time.Since(start))
}
