//go:build bench

package database_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/databases/sqlserver"
)

// sqlPairs is how often a dump is made by a process of ours, and by the client alone.
const sqlPairs = 7

// TestAgainstSQLClients compares dumps of 512 MB with those of the same client alone, with the same options, in turn.
func TestAgainstSQLClients(t *testing.T) {
	for name, start := range map[string]func(testing.TB, sqlserver.Options) *sqlserver.Server{"PostgreSQL": sqlserver.PostgreSQL, "MariaDB": sqlserver.MariaDB} {
		t.Run(name, func(t *testing.T) {
			s := start(t, sqlserver.Options{})
			c := s.Database(t, "system", "app", "secret")
			fill := "CREATE TABLE accounts AS SELECT n AS id, repeat(md5(n::text), 8) AS text FROM generate_series(1, 2000000) n; ALTER TABLE accounts OWNER TO app;"
			if s.Kind == recorded.MySQL {
				fill = "CREATE TABLE accounts (id int PRIMARY KEY, text text); INSERT INTO accounts SELECT seq, REPEAT(MD5(seq), 8) FROM seq_1_to_2000000;"
			}
			s.Run(t, "system", fill)
			compareSQL(t, s.Kind, c)
		})
	}
}

func compareSQL(t *testing.T, kind recorded.DatabaseKind, c threescale.Connection) {
	dir := t.TempDir()
	into, host, port := filepath.Join(dir, "alone"), "--host="+c.Address.Host, fmt.Sprintf("--port=%d", c.Address.Port)
	alone := []string{
		"mariadb-dump", "--no-defaults", host, port, "--user=" + c.Username, "--password=" + c.Password, "--single-transaction", "--quick", "--routines", "--triggers", "--no-tablespaces",
		"--hex-blob", "--skip-dump-date", "--default-character-set=utf8mb4", "--result-file=" + into, "system",
	}
	if kind == recorded.PostgreSQL {
		alone = []string{"pg_dump", "--format=directory", "--compress=0", "--no-owner", "--no-privileges", host, port, "--username=" + c.Username, "--file=" + into, "system"}
	}
	options, err := json.Marshal(map[string]any{"Database": threescale.SystemDatabase, "Connection": c, "Into": filepath.Join(dir, "ours"), "Private": dir})
	require.NoError(t, err)
	var ratios []float64
	var most int64
	for range sqlPairs {
		require.NoError(t, os.RemoveAll(into))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "ours"))) // Nobody's time counts for it.
		syscall.Sync()
		client, _ := timed(t, "PGPASSWORD="+c.Password, alone...)
		ours, memory := timed(t, strangersDump+"="+string(options), os.Args[0])
		ratios, most = append(ratios, ours.Seconds()/client.Seconds()), max(most, memory)
	}
	slices.Sort(ratios)
	t.Logf("%s: ours takes %.3f of the time (median of %d pairs, %.3f to %.3f), and at most %d MiB with the client", alone[0], ratios[sqlPairs/2], sqlPairs, ratios[0], ratios[sqlPairs-1], most>>10)
	require.LessOrEqual(t, most, int64(64<<10), "KiB of memory")
}

// timed returns how long a program takes, and the most memory, in KiB, that it or a program that it runs holds.
func timed(t *testing.T, variable string, args ...string) (time.Duration, int64) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), variable)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	taken := time.Since(start)
	require.NoError(t, err, "%s", out)
	return taken, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
}
