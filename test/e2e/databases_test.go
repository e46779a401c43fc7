//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/dataset"
)

// Images with the clients of Debian's servers, as users have them from their vendor.
const (
	postgreSQLImage = "docker.io/local/postgresql-client:15"
	mariaDBImage    = "docker.io/local/mariadb-client:10.11"
)

var clientImages struct {
	sync.Once
	err error
}

// withClientImages gives the node both images, the first time.
func withClientImages(t *testing.T) {
	t.Helper()
	clientImages.Do(func() {
		ctx := context.WithoutCancel(t.Context())
		links := map[string]string{} // past Debian's wrapper, which asks for a cluster of its own
		for _, program := range []string{"pg_dump", "pg_restore", "psql"} {
			links["/usr/bin/"+program] = "../lib/postgresql/15/bin/" + program
		}
		clientImages.err = shared.LoadDebianImage(ctx, cluster.DebianImage{Name: postgreSQLImage, Packages: []string{"postgresql-client-15"}, Links: links})
		if clientImages.err == nil {
			clientImages.err = shared.LoadDebianImage(ctx, cluster.DebianImage{Name: mariaDBImage, Packages: []string{"mariadb-client"}})
		}
	})
	require.NoError(t, clientImages.err)
}

// databases are the servers of a tenant.
type databases struct {
	t             *testing.T
	system, redis *cluster.DatabaseServer
	zync          *cluster.DatabaseServer
	kind          string // of System's
}

const (
	systemPassword = dataset.SecretMarker + "system-database"
	zyncPassword   = dataset.SecretMarker + "zync-database"
	redisPassword  = dataset.SecretMarker + "backend-redis"
)

// newDatabases starts the servers of an installation, and fills them. The installation
// that newTenant makes with its option has their addresses.
func newDatabases(t *testing.T, kind string) (*databases, func(*options)) {
	t.Helper()
	withClientImages(t)
	ctx, dir := context.WithoutCancel(t.Context()), filepath.Join(shared.Dir(), "databases-"+namespaceOf(t))
	require.NoError(t, os.Mkdir(dir, 0o755))
	d := &databases{t: t, kind: kind}
	var err error
	d.zync, err = shared.StartPostgreSQL(ctx, filepath.Join(dir, "zync"), cluster.DatabaseLogin{Database: "zync_production", User: "zync", Password: zyncPassword})
	require.NoError(t, err)
	login := cluster.DatabaseLogin{Database: "system", User: "threescale", Password: systemPassword}
	scheme := "postgresql"
	if kind == "mysql" {
		scheme = "mysql2"
		d.system, err = shared.StartMariaDB(ctx, filepath.Join(dir, "system"), login)
	} else {
		d.system, err = shared.StartPostgreSQL(ctx, filepath.Join(dir, "system"), login)
	}
	require.NoError(t, err)
	d.redis, err = shared.StartRedis(ctx, filepath.Join(dir, "redis"), redisPassword)
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, s := range []*cluster.DatabaseServer{d.system, d.zync, d.redis} {
			assert.NoError(t, s.Process().Stop())
		}
	})
	d.fill()
	return d, func(o *options) {
		o.objects.SystemDatabaseURL = fmt.Sprintf("%s://threescale:%s@%s/system", scheme, systemPassword, d.system.Address)
		o.objects.ZyncDatabaseURL = fmt.Sprintf("postgresql://zync:%s@%s/zync_production", zyncPassword, d.zync.Address)
		o.objects.BackendStorageURL = fmt.Sprintf("redis://:%s@%s/0", redisPassword, d.redis.Address)
	}
}

// fill writes the tables of porta, and what a dump could lose: bytes, a procedure, times
// to live.
func (d *databases) fill() {
	d.t.Helper()
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join("..", "databases", "testdata", name))
		require.NoError(d.t, err)
		return string(data)
	}
	asOwner := "SET ROLE threescale;\n"
	more := "CREATE TABLE extra (id int PRIMARY KEY, data bytea);\nINSERT INTO extra VALUES (1, '\\x000102fffe');\n"
	if d.kind == "mysql" {
		asOwner = ""
		more = "CREATE TABLE extra (id int PRIMARY KEY, data varbinary(9));\nINSERT INTO extra VALUES (1, x'000102fffe');\n" +
			"CREATE DEFINER=`threescale`@`%` PROCEDURE sp_invoices_friendly_id() SELECT 1;\n"
	}
	d.run(d.system, "system", asOwner+read("ddl-"+d.kind+".sql")+read("rows.sql")+more)
	d.run(d.zync, "zync_production", "SET ROLE zync;\nCREATE TABLE tenants (id bigint PRIMARY KEY, endpoint text);\nINSERT INTO tenants VALUES (1, 'https://x.apps.example.com');\n")
	var commands strings.Builder
	for i := range 500 {
		fmt.Fprintf(&commands, "SET stats/{service:%d}/hits %d\n", i, i)
	}
	commands.WriteString("PEXPIREAT stats/{service:1}/hits 4102444800123\nHSET services a 1 b 2\nSADD set x\nZADD zset 1 a 2 b\nLPUSH list 1 2 3\n")
	d.run(d.redis, "0", commands.String())
}

func (d *databases) run(s *cluster.DatabaseServer, database, statements string) string {
	d.t.Helper()
	out, err := s.Run(d.t.Context(), database, statements)
	require.NoError(d.t, err)
	return out
}

// state is everything that is in the databases, as text.
func (d *databases) state() map[string]string {
	d.t.Helper()
	keys := strings.Fields(d.run(d.redis, "0", `EVAL "local all = redis.call('keys', '*') table.sort(all) return all" 0`))
	var commands strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&commands, "DUMP %s\nPEXPIRETIME %[1]s\n", key)
	}
	return map[string]string{
		"zync":   d.dump(d.zync, "zync_production"),
		"system": d.dump(d.system, "system"),
		"redis":  strings.Join(keys, "\n") + d.run(d.redis, "0", commands.String()),
	}
}

// dump is a dump for comparison, in text, by the client on this machine.
func (d *databases) dump(s *cluster.DatabaseServer, database string) string {
	d.t.Helper()
	cmd := exec.Command("/usr/lib/postgresql/15/bin/pg_dump", append(s.Local(), "--inserts", database)...)
	if s == d.system && d.kind == "mysql" {
		cmd = exec.Command("mariadb-dump", append(s.Local(), "--skip-dump-date", "--routines", "--triggers", "--hex-blob", database)...)
	}
	out, err := cmd.Output()
	require.NoError(d.t, err)
	var lines []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, `\`) { // a random key of pg_dump
			lines = append(lines, line)
		}
	}
	// What a load makes is the property of who loads it, unless that user may say otherwise.
	return regexp.MustCompile(`DEFINER=\S+ `).ReplaceAllString(strings.Join(lines, ""), "")
}

// destroy empties the databases, as new servers are.
func (d *databases) destroy() {
	d.t.Helper()
	d.run(d.redis, "0", "FLUSHALL")
	d.run(d.zync, "postgres", "DROP DATABASE zync_production WITH (FORCE);\nCREATE DATABASE zync_production OWNER zync;")
	if d.kind == "mysql" {
		d.run(d.system, "mysql", "DROP DATABASE system;\nCREATE DATABASE system;")
		return
	}
	d.run(d.system, "postgres", "DROP DATABASE system WITH (FORCE);\nCREATE DATABASE system OWNER threescale;")
}

func (d *databases) image() string {
	if d.kind == "mysql" {
		return mariaDBImage
	}
	return postgreSQLImage
}

// spec names all of them, in a claim.
func (d *databases) spec() string {
	return fmt.Sprintf("databases: {system: {image: %s}, zync: {image: %s}, backendRedis: {}}", d.image(), postgreSQLImage)
}

// assertDumped: the status tells of each dump.
func (d *databases) assertDumped(done *unstructured.Unstructured) {
	d.t.Helper()
	dumps, _, err := unstructured.NestedSlice(done.Object, "status", "lastRun", "databases")
	require.NoError(d.t, err)
	got := map[string]any{}
	for _, each := range dumps {
		dump := each.(map[string]any)
		got[dump["name"].(string)] = dump["kind"]
		assert.NotEmpty(d.t, dump["serverVersion"])
		assert.NotZero(d.t, dump["bytes"])
	}
	kind := "PostgreSQL"
	if d.kind == "mysql" {
		kind = "MySQL"
	}
	assert.Equal(d.t, map[string]any{"system-database": kind, "zync-database": "PostgreSQL", "backend-redis": "Redis"}, got)
}

// loads is the field of a restore that brings them back.
func (d *databases) loads(policy string) string {
	return fmt.Sprintf("databases: {policy: %s, system: {image: %s}, zync: {image: %s}}", policy, d.image(), postgreSQLImage)
}

// assertState compares everything that is in the databases.
func (d *databases) assertState(want map[string]string) {
	d.t.Helper()
	assert.Equal(d.t, want, d.state())
}

// TestDatabasesOfPostgreSQL: one claim backs up an installation with its databases,
// encrypted, and into a bucket. The installation, its files and its databases are lost, and
// one restore from the bucket brings all of it back.
func TestDatabasesOfPostgreSQL(t *testing.T) {
	withFlux(t)
	parallel(t)
	d, withDatabases := newDatabases(t, "postgresql")
	w := newTenant(t, withDatabases)
	b := w.newBucket()
	identity := mustIdentity(t)
	spec := fmt.Sprintf("encryption: {age: {recipients: [%s]}}, %s, %s", identity.Recipient(), d.spec(), b.offsite("{}"))
	require.NoError(t, w.apply(claim(nightly, beside(spec))))
	copied := w.untilCopied(nightly)
	d.assertDumped(copied)
	w.requireAbsent(w.volumeDir(nightlyVolume), append(dataset.MarkerForms(), "CREATE TABLE", "stats/{service"))

	want := d.state()
	kept := w.disaster()
	d.destroy()
	e := w.deliver()
	w.makeSecret("backup-age", map[string][]byte{"backup.agekey": []byte(identity.String() + "\n")})
	manifest, _, err := unstructured.NestedString(copied.Object, "status", "lastRun", "manifestSHA256")
	require.NoError(t, err)
	require.NotEmpty(t, manifest)
	source := fmt.Sprintf("restoreSource: {bucket: %s, manifestSHA256: %s}, decryption: {secretRef: {name: backup-age}}",
		merge(b.spec(), "prefix: "+strings.TrimSuffix(b.prefix, "/")), strconv.Quote(manifest))
	e.ask(dr("plan", fmt.Sprintf(`{%s, dryRun: true, %s}`, source, d.loads("IfEmpty"))))
	planned := e.untilRestore("plan", "Ready", "True", "Planned")
	t.Log(planned.Object["status"].(map[string]any)["plan"].(map[string]any)["databases"])
	e.ask(dr("dr", fmt.Sprintf(`{%s, kustomizationRef: {name: apps}, %s}`, source, d.loads("IfEmpty"))))
	e.untilRestore("dr", "Ready", "True", "Restored")
	e.assertRestored(kept, e.onlyCommit(t, branch))
	d.assertState(want)
}

// TestDatabasesOfMySQL likewise, in plaintext and from the volume, and then over databases
// that hold something else.
func TestDatabasesOfMySQL(t *testing.T) {
	withFlux(t)
	parallel(t)
	d, withDatabases := newDatabases(t, "mysql")
	w := newTenant(t, withDatabases)
	require.NoError(t, w.apply(claim(nightly, beside(d.spec()))))
	d.assertDumped(w.untilCompleted(nightly))

	want := d.state()
	kept := w.disaster()
	e := w.deliver()
	e.ask(dr("full", "{"+d.loads("IfEmpty")+"}"))
	refused := e.untilRestore("full", "Stalled", "True", "DatabaseNotEmpty")
	t.Log(message(refused, "Stalled"))
	w.admin("delete", "threescalerestore", "full")
	d.run(d.system, "system", "DELETE FROM extra;")
	d.run(d.redis, "0", "SET another key")
	e.ask(dr("dr", "{kustomizationRef: {name: apps}, "+d.loads("Replace")+"}"))
	e.untilRestore("dr", "Ready", "True", "Restored")
	e.assertRestored(kept, e.onlyCommit(t, branch))
	d.assertState(want)
}

// TestDatabaseIsDown: the run fails and says why, and there is no run without it.
func TestDatabaseIsDown(t *testing.T) {
	parallel(t)
	d, withDatabases := newDatabases(t, "postgresql")
	w := newTenant(t, withDatabases)
	require.NoError(t, d.zync.Process().Stop())
	require.NoError(t, w.apply(claim(nightly, beside(`job: {backoffLimit: 0}, `+d.spec()))))
	failed := w.until(nightly, "the run to fail", func(u *unstructured.Unstructured) bool {
		return condition(u, "BackupCompleted")["reason"] == "DatabaseUnreachable"
	})
	t.Log(message(failed, "BackupCompleted"))
	assert.Contains(t, message(failed, "BackupCompleted"), "zync-database")
	assert.NotContains(t, message(failed, "BackupCompleted"), d.zync.Address, "where it is stands in a Secret")
	runs, err := os.ReadDir(filepath.Join(w.volumeDir(nightlyVolume), "runs"))
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	assert.Empty(t, runs)
}
