package seal

import (
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func x25519(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return id
}

func TestSealedSizes(t *testing.T) {
	pq, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	for name, recipients := range map[string][]string{
		"One":    {x25519(t).Recipient().String()},
		"Three":  {x25519(t).Recipient().String(), x25519(t).Recipient().String(), x25519(t).Recipient().String()},
		"Hybrid": {pq.Recipient().String()},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(recipients)
			require.NoError(t, err)
			for _, size := range []int{0, 1, Chunk - 1, Chunk, Chunk + 1, 2 * Chunk, 5*Chunk + 7} {
				data, err := s.Seal(make([]byte, size))
				require.NoError(t, err)
				assert.Equal(t, s.StoredSize(int64(size)), int64(len(data)), "size %d", size)
			}
		})
	}
	_, err = New([]string{pq.Recipient().String(), x25519(t).Recipient().String()})
	assert.Error(t, err, "age does not mix what resists quantum computers with what does not")
}
