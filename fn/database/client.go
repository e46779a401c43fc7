package database

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"threescale.dev/backup/fn/threescale"
)

// sqlClient is a program that comes with a server.
type sqlClient struct {
	name, path string
	version    version
}

// tool returns name and version, as a dump records them.
func (c sqlClient) tool() string { return c.name + " " + c.version.String() }

// lookPath returns what finds a program.
func lookPath(find func(string) (string, error)) func(string) (string, error) {
	if find != nil {
		return find
	}
	return exec.LookPath
}

// findClient returns the first client that is there and suits the server: of the same product, and not older. An older
// one does not know all that is in the database; pg_dump refuses it, and mysqldump does not.
func findClient(ctx context.Context, find func(string) (string, error), s sqlServer, names ...string) (sqlClient, error) {
	wanted := fmt.Sprintf("use an image with the client of %s", s.version.name(s.Kind))
	found := ""
	for _, name := range names {
		path, err := lookPath(find)(name)
		if err != nil {
			continue
		}
		out, err := sqlClient{path: path}.command(ctx, "--version").Output()
		if ctx.Err() != nil {
			return sqlClient{}, ctx.Err()
		}
		v, known := parseClientVersion(string(out))
		switch {
		case err != nil || !known:
			found = fmt.Sprintf("%s does not tell its version", name)
		case v.mariaDB != s.version.mariaDB || v.olderThan(s.version, s.Kind):
			found = fmt.Sprintf("%s is that of %s", name, v.name(s.Kind))
		default:
			return sqlClient{name, path, v}, nil
		}
	}
	if found == "" {
		return sqlClient{}, &judgedError{ClientMissing, fmt.Errorf("there is no program %s: %s", strings.Join(names, " or "), wanted)}
	}
	return sqlClient{}, &judgedError{ClientMissing, fmt.Errorf("%s, and the server is %s: %s", found, s.version.name(s.Kind), wanted)}
}

// clientError says how a client ended.
type clientError struct {
	client string
	said   string // the end of what it printed
	err    error
}

func (e *clientError) Error() string {
	if said := shown(e.said); said != "" {
		return fmt.Sprintf("%s: %s", e.client, said)
	}
	return fmt.Sprintf("%s: %s", e.client, e.err)
}

func (e *clientError) Unwrap() error { return e.err }

// run runs the client until it ends. It is told who logs in by files, and nobody else can see them: not in its arguments,
// nor in its environment.
func (c sqlClient) run(ctx context.Context, stdin io.Reader, args ...string) error {
	cmd := c.command(ctx, args...)
	said := &tail{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, io.Discard, said
	if err := cmd.Run(); err != nil {
		return errors.Join(ctx.Err(), &clientError{c.name, said.String(), err})
	}
	return nil
}

// endTime is how long what a client has started may hold its output after its end.
const endTime = 5 * time.Second

// command returns the command, which ctx ends with all that it has started. Its environment tells it nothing of a
// database, and it finds no file of a user's: there may be no home and no name for who runs it.
func (c sqlClient) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = endTime
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return slices.ContainsFunc([]string{"PG", "MYSQL", "MARIADB", "LC_", "LANG", "HOME="}, func(begin string) bool { return strings.HasPrefix(variable, begin) })
	})
	cmd.Env = append(cmd.Env, "HOME=/nonexistent", "LC_ALL=C", "PGGSSENCMODE=disable", "PGCLIENTENCODING=UTF8")
	return cmd
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const most = 2 << 10
	t.text = append(t.text, p...)
	if len(t.text) > most {
		t.text = slices.Clone(t.text[len(t.text)-most:])
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.text) }

var (
	// telling lines are those that a client begins by itself. Others go on with a statement, or with a row that has line breaks.
	telling = regexp.MustCompile(`^(?:\S*/)?(?:pg_dump|pg_restore|mysqldump|mysql|mariadb-dump|mariadb)\b[^:]*: |^ERROR \d+ \(`)
	// quoting lines quote a statement.
	quoting = regexp.MustCompile(`^\S+ detail: `)
	// naming lines quote names only: that of a thing comes before what is said of it, or what is said comes before all that is quoted.
	naming = regexp.MustCompile(`(?i)^(?:[^"']*(?:\b(?:table|relation|view|sequence|index|schema|database|role|user|type|function|procedure|trigger|constraint|column|extension|language)|\bERROR:|at line \d+:)` +
		`\s+["'][^"']*["'] (?:already exists|does(?: not|n't) exist|is not (?:a|of type) |cannot be performed on )` +
		`|[^"']*(?:denied (?:for|to) |cannot be performed on |must be owner of |no space left on device|unrecognized configuration parameter|cannot drop |you need \(at least one of\)|connection to (?:the )?server|connection to database` +
		`|could not (?:connect|translate|open file|write to file)|can't connect|unknown (?:mysql )?(?:server host|collation|database)|server version mismatch)` +
		`|\S+ Got error: \d+: ".*" when (?:trying to connect|selecting the database|using LOCK TABLES)\s*$` +
		`|\S+ Couldn't execute ')`)
	// rows are quoted by lines whatever else is in them.
	rows = regexp.MustCompile(`(?i)near ['"]|duplicate (?:entry|key)|invalid input|COPY failed`)
	// quoted is all from what is quoted first: what is stored may hold quotation marks. What ends the line tells where it was.
	quoted = regexp.MustCompile(`["'].*?(['"] at line \d+)?\s*$`)
)

// shown returns what a client said, without what the database stores.
func shown(said string) string {
	var lines []string
	for line := range strings.Lines(strings.ToValidUTF8(said, "?")) {
		if !telling.MatchString(line) || quoting.MatchString(line) {
			continue
		}
		if rows.MatchString(line) || !naming.MatchString(line) {
			line = concealed(line)
		}
		lines = append(lines, strings.TrimSpace(onOneLine(line)))
	}
	return strings.Join(lines, "; ")
}

// concealed returns a line without all that it quotes.
func concealed(line string) string {
	at := quoted.FindStringSubmatchIndex(line)
	if at == nil {
		return line
	}
	end := ""
	if at[2] >= 0 {
		end = line[at[2]+1 : at[3]]
	}
	return line[:at[0]] + "…" + end
}

// onOneLine replaces what a terminal would take for a command.
func onOneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// withPrivate makes a directory for a login, and removes it after.
func withPrivate(parent string, do func(dir string) error) (err error) {
	dir, err := os.MkdirTemp(parent, "login-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return do(dir)
}

// tlsFiles are the paths of what a client needs for TLS, "" for what it does not.
type tlsFiles struct{ ca, cert, key string }

// writeTLS writes the files of a connection that is encrypted.
func writeTLS(t threescale.TLS, dir string) (files tlsFiles, err error) {
	write := func(name string, data []byte) string {
		if len(bytes.TrimSpace(data)) == 0 {
			return ""
		}
		path := dir + "/" + name
		err = errors.Join(err, os.WriteFile(path, data, 0o600))
		return path
	}
	files.cert, files.key = write("cert.pem", t.Cert), write("key.pem", t.Key)
	if t.Mode != threescale.TLSVerifyCA && t.Mode != threescale.TLSVerify { // With a CA, libpq would prove it.
		return files, err
	}
	if files.ca = write("ca.pem", t.CA); files.ca == "" {
		files.ca = systemAuthorities()
	}
	if files.ca == "" {
		return files, &judgedError{Untrusted, errors.New("neither the Secret has a CA, nor the image authorities: add the CA to the Secret")}
	}
	return files, err
}

// systemAuthorities returns the file with the authorities that an image trusts, "" if it has none. Neither client finds it alone.
func systemAuthorities() string {
	for _, path := range []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
	} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}
