package database

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/threescale"
)

// TestMySQLOptions: MySQL is not run here, and what only one of the two clients knows ends the other.
func TestMySQLOptions(t *testing.T) {
	const gtid, statistics = "--set-gtid-purged=OFF", "--loose-column-statistics=0"
	mySQL, mariaDB := mysqlDumpArgs(false, "F", "system", "dump.sql"), mysqlDumpArgs(true, "F", "system", "dump.sql")
	assert.Subset(t, mySQL, []string{gtid, statistics}, "GTIDs cannot be loaded without rights of an administrator")
	for _, args := range [][]string{mySQL, mariaDB, mysqlLoadArgs("F", "system")} {
		assert.Equal(t, "--defaults-file=F", args[0], "no client takes it elsewhere")
	}
	assert.NotContains(t, mariaDB, gtid)
	assert.NotContains(t, mariaDB, statistics)
	assert.Equal(t, []string{"--", "system"}, mySQL[len(mySQL)-2:], "a name is no option")
	assert.Subset(t, mysqlLoadArgs("F", "system"), []string{"--binary-mode", "--local-infile=0", "--skip-reconnect"})

	verified := &threescale.TLS{Mode: threescale.TLSVerify}
	for _, tc := range []struct {
		reason  string
		tls     *threescale.TLS
		mariaDB bool
		want    [][2]string
	}{
		{"its server's key is asked for, since no TLS hides the password", nil, false, [][2]string{{"ssl-mode", "DISABLED"}, {"get-server-public-key", "1"}}},
		{"it has no such option", nil, true, [][2]string{{"ssl", "0"}}},
		{"one option says all", verified, false, [][2]string{{"ssl-mode", "VERIFY_IDENTITY"}}},
		{"two options do", verified, true, [][2]string{{"ssl", "1"}, {"ssl-verify-server-cert", "1"}}},
	} {
		assert.Equal(t, tc.want, mysqlTLSOptions(tc.tls, tc.mariaDB), tc.reason)
	}
}

// TestSandboxLine: the first line of a dump of newer versions of MariaDB is handed on as it is.
func TestSandboxLine(t *testing.T) {
	for _, line := range []string{"/*!999999\\- enable the sandbox mode */ \n", "/*M!999999\\- enable the sandbox mode */ \n"} {
		assert.Equal(t, line, string(newScript(nil).begin([]byte(line))))
	}
}
