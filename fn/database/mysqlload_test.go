package database

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/databases/sqlserver"
)

// TestSilentSessions: a server ends a session that does nothing, and not that of a load whose client goes on for longer.
func TestSilentSessions(t *testing.T) {
	s := sqlserver.MariaDB(t, sqlserver.Options{})
	o := LoadOptions{Connection: s.Database(t, "kept", "kept", "secret")}
	kept, err := lockMySQL(t.Context(), o)
	require.NoError(t, err)
	defer kept.close(t.Context())
	o.Connection = s.Database(t, "silent", "silent", "secret")
	silent, err := lockMySQL(t.Context(), o)
	require.NoError(t, err)
	defer silent.close(t.Context())
	for _, session := range []*mysqlSession{kept, silent} {
		_, err := session.conn.ExecContext(t.Context(), "SET SESSION wait_timeout = 5")
		require.NoError(t, err)
	}
	sessions := func() string {
		return s.Run(t, "mysql", "SELECT user FROM information_schema.processlist WHERE user IN ('kept', 'silent');")
	}
	require.Len(t, strings.Fields(sessions()), 2)
	require.NoError(t, kept.keptAlive(t.Context(), 100*time.Millisecond, func() error {
		require.Eventually(t, func() bool { return sessions() == "kept\n" }, time.Minute, 100*time.Millisecond)
		return nil
	}))
	require.NoError(t, kept.says(t.Context()))
	assert.Error(t, silent.says(t.Context()))
}

// TestPostgreSQLFindsLostNodes: the server asks whether a session that waits is still there, where it can be asked.
func TestPostgreSQLFindsLostNodes(t *testing.T) {
	s := sqlserver.PostgreSQL(t, sqlserver.Options{})
	session, err := lockPostgreSQL(t.Context(), LoadOptions{Connection: s.Database(t, "lost", "lost", "secret")})
	require.NoError(t, err)
	defer session.close(t.Context())
	for name, want := range map[string]string{"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"} {
		answers, err := session.conn.Exec(t.Context(), "SHOW "+name).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, want, string(answers[0].Rows[0][0]), name)
	}
	assert.Equal(t, "0\n", s.Run(t, "postgres", keepAlive+"; SHOW tcp_keepalives_idle;"), "over a Unix socket it does no harm")
}
