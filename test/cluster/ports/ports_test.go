package ports

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFree takes ports as a cluster does, all before anybody listens.
func TestFree(t *testing.T) {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	require.NoError(t, err)
	var lowest, highest int
	_, err = fmt.Sscan(string(data), &lowest, &highest)
	require.NoError(t, err)
	seen := map[int]bool{}
	for range 100 {
		port, err := Free(t.Context())
		require.NoError(t, err)
		assert.False(t, seen[port], "handed out twice")
		assert.Less(t, port, lowest, "a connection that goes out could take it")
		seen[port] = true
		listener, err := net.Listen("tcp", Local(port))
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, listener.Close()) })
	}
}
