package threescale

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/recorded"
)

// Databases returns those that can be dumped, in the order in which they are dumped: what comes later may know more than what comes
// earlier, and never less.
func Databases() []Database {
	return []Database{BackendRedis, SystemRedis, ZyncDatabase, SystemDatabase}
}

// Connection says where a database is, and how to log in. It holds secrets: String, which messages show, has none.
type Connection struct {
	Kind               recorded.DatabaseKind
	Address            Address // with sentinels, Host is the name of the master's group
	Database           string  // its name; of Redis, the number of its index
	Username, Password string
	TLS                *TLS              // nil: not encrypted
	Parameters         map[string]string // of the query of the URL, what a client of PostgreSQL is told; never a login or TLS
	Sentinel           *Sentinel         // of Redis; nil: the server itself
}

// Address of a server.
type Address struct {
	Host string
	Port int
}

// String returns host:port, with an IPv6 address in brackets.
func (a Address) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// TLS says how a connection is encrypted, and what it proves.
type TLS struct {
	Mode          TLSMode
	CA, Cert, Key []byte // PEM; empty: the system's authorities, no client certificate
}

// TLSMode says what is proven of a server. The modes of 3scale are either tool's; these are ours.
type TLSMode string

// Modes of TLS.
const (
	TLSPreferred TLSMode = "Preferred" // encrypted if the server can; nothing is proven
	TLSRequired  TLSMode = "Required"  // encrypted; nothing is proven
	TLSVerifyCA  TLSMode = "VerifyCA"  // a certificate of the CA
	TLSVerify    TLSMode = "Verify"    // and the name of the host
)

// Sentinel finds the master of a group of Redis servers.
type Sentinel struct {
	Addresses          []Address
	Username, Password string
	TLS                bool
}

// connectionSecret names the Secret with the connection of a database, and its keys.
type connectionSecret struct {
	name, url          string
	username, password string // of Redis
	ca, cert, key      string
	mode               string // of TLS, of SQL databases
	sentinels          string // of Redis
	sentinelUsername   string
	sentinelPassword   string
}

// secretOf returns where the connection of a database is. Of Backend's two Redis databases it is the one with the usage
// counters; the other holds queues. DB_USER and DB_PASSWORD of system-database are read by nobody once the database is external
// (component/system.go), and ZYNC_DATABASE_PASSWORD has to equal the one of the URL (operator/zync_options_provider.go:174-190).
func secretOf(d Database) connectionSecret {
	switch d {
	case SystemDatabase:
		return connectionSecret{name: "system-database", url: "URL", mode: "DATABASE_SSL_MODE", ca: "DB_SSL_CA", cert: "DB_SSL_CERT", key: "DB_SSL_KEY"}
	case ZyncDatabase:
		return connectionSecret{name: "zync", url: "DATABASE_URL", mode: "DATABASE_SSL_MODE", ca: "DB_SSL_CA", cert: "DB_SSL_CERT", key: "DB_SSL_KEY"}
	case SystemRedis:
		return connectionSecret{
			name: "system-redis", url: "URL", username: "REDIS_USERNAME", password: "REDIS_PASSWORD",
			ca: "REDIS_SSL_CA", cert: "REDIS_SSL_CERT", key: "REDIS_SSL_KEY",
			sentinels: "SENTINEL_HOSTS", sentinelUsername: "REDIS_SENTINEL_USERNAME", sentinelPassword: "REDIS_SENTINEL_PASSWORD",
		}
	case BackendRedis:
		return connectionSecret{ //nolint:gosec // the names of keys
			name: "backend-redis", url: "REDIS_STORAGE_URL", username: "REDIS_STORAGE_USERNAME", password: "REDIS_STORAGE_PASSWORD",
			ca: "REDIS_SSL_CA", cert: "REDIS_SSL_CERT", key: "REDIS_SSL_KEY",
			sentinels: "REDIS_STORAGE_SENTINEL_HOSTS", sentinelUsername: "REDIS_STORAGE_SENTINEL_USERNAME", sentinelPassword: "REDIS_STORAGE_SENTINEL_PASSWORD",
		}
	}
	return connectionSecret{}
}

// ConnectionKeys returns the name of the Secret that has the connection of a database, and those of its keys that
// ReadConnection may read, sorted. Only the key of the URL has to be there.
func ConnectionKeys(d Database) (secret string, keys []string) {
	s := secretOf(d)
	keys = []string{s.url, s.username, s.password, s.ca, s.cert, s.key, s.mode, s.sentinels, s.sentinelUsername, s.sentinelPassword}
	keys = slices.DeleteFunc(keys, func(key string) bool { return key == "" })
	slices.Sort(keys)
	return s.name, keys
}

// DatabaseTLS reports whether the APIManager says that the connection to a database is encrypted.
func DatabaseTLS(apiManager *unstructured.Unstructured, d Database) bool {
	fields := map[Database][]string{
		SystemDatabase: {"spec", "system", "systemDatabaseTLSEnabled"},
		SystemRedis:    {"spec", "system", "systemRedisTLSEnabled"},
		BackendRedis:   {"spec", "backend", "backendRedisTLSEnabled"},
		ZyncDatabase:   {"spec", "zync", "zyncDatabaseTLSEnabled"},
	}
	encrypted, _ := flag(apiManager, fields[d]...)
	return encrypted
}

// IsExternal reports whether a database runs outside the installation, as InternalDatabases judges it.
func IsExternal(apiManager *unstructured.Unstructured, d Database) bool {
	return isExternal(apiManager, d)
}

// keyError says what is wrong with a key of a Secret, in words that hold nothing of its value.
type keyError struct {
	key, problem string
}

func (e *keyError) Error() string { return fmt.Sprintf("key %q %s", e.key, e.problem) }

// ReadConnection reads the connection of a database from the data of its Secret. encrypted is what the APIManager says
// (DatabaseTLS). Errors name the key and what is wrong with it, and never show a value. A connection to Oracle is read, and
// refused by whoever would use it.
func ReadConnection(d Database, data map[string][]byte, encrypted bool) (Connection, error) {
	s := secretOf(d)
	read := readSQL
	switch d {
	case SystemRedis, BackendRedis:
		read = readRedis
	case SystemDatabase, ZyncDatabase:
	default:
		return Connection{}, fmt.Errorf("cannot read the connection of database %q: 3scale has none of that name", d)
	}
	c, err := read(s, data, encrypted)
	if err == nil && d == ZyncDatabase && c.Kind != recorded.PostgreSQL {
		err = &keyError{s.url, "is not that of a PostgreSQL database, and Zync uses no other"}
	}
	if err != nil {
		return Connection{}, fmt.Errorf("cannot read Secret %q: %w", s.name, err)
	}
	return c, nil
}

// readSQL reads the connection of a SQL database.
func readSQL(s connectionSecret, data map[string][]byte, encrypted bool) (Connection, error) {
	u, err := parseURL(s.url, string(data[s.url]))
	if err != nil {
		return Connection{}, err
	}
	c := Connection{Database: strings.TrimPrefix(u.Path, "/")}
	var port int
	switch {
	case u.Scheme == "postgresql" || u.Scheme == "postgres":
		c.Kind, port = recorded.PostgreSQL, 5432
	case u.Scheme == "mysql2" || u.Scheme == "mysql":
		c.Kind, port = recorded.MySQL, 3306
	case strings.HasPrefix(u.Scheme, "oracle"): // as config/database.yml of porta
		c.Kind, port = recorded.Oracle, 1521
	default:
		return Connection{}, &keyError{s.url, "begins with none of postgresql://, mysql2:// and oracle-enhanced://"}
	}
	c.Username = u.User.Username()
	c.Password, _ = u.User.Password()
	if c.Address, err = readAddress(s.url, u, port); err != nil {
		return Connection{}, err
	}
	if c.Kind == recorded.Oracle {
		return c, nil
	}
	switch {
	case c.Username == "":
		return Connection{}, &keyError{s.url, "has no user"}
	case c.Database == "":
		return Connection{}, &keyError{s.url, "has no name of a database after the host"}
	case strings.ContainsAny(c.Username+c.Password+c.Database, "\x00\n\r"): // No file for a client holds them.
		return Connection{}, &keyError{s.url, "has a line break or a NUL in user, password or name of the database"}
	}
	if err := readQuery(s, u, &c); err != nil {
		return Connection{}, err
	}
	c.TLS, err = readSQLTLS(s, data, encrypted, c.Kind, u.Query())
	return c, err
}

// parseURL parses the URL of a key. The errors of package url show the URL, and are replaced.
func parseURL(key, value string) (*url.URL, error) {
	if value == "" {
		return nil, &keyError{key, "is missing or empty"}
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, &keyError{key, "has a blank or a line break, maybe at its end: remove it"}
	}
	u, err := url.Parse(value)
	// What url.Parse takes for a path or a query may be a part of a password: it must not be shown as the name of a database.
	if err != nil || u.Opaque != "" || strings.Contains(value, "#") || strings.Contains(u.RawQuery, "@") || strings.ContainsAny(strings.TrimPrefix(u.EscapedPath(), "/"), "/@") {
		return nil, &keyError{key, "is not a URL: all but letters, digits and -._~ has to be percent-encoded in user and password"}
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, &keyError{key, "has a query that cannot be read"}
	}
	return u, nil
}

// readAddress returns the host and the port of a URL.
func readAddress(key string, u *url.URL, port int) (Address, error) {
	a := Address{Host: u.Hostname(), Port: port}
	switch {
	case a.Host == "":
		return Address{}, &keyError{key, "has no host"}
	case strings.ContainsAny(a.Host, ",/\\'\"") || strings.ContainsFunc(a.Host, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return Address{}, &keyError{key, "has a host that is no name and no address"}
	case u.Port() == "":
		return a, nil
	}
	var err error
	if a.Port, err = strconv.Atoi(u.Port()); err != nil || a.Port < 1 || a.Port > 65535 {
		return Address{}, &keyError{key, "has a port that is not in 1-65535"}
	}
	return a, nil
}

// queryParameters are those of a PostgreSQL URL that matter to whoever connects. Rails hands its driver only those that libpq
// knows; the rest is for Rails, such as pool.
var queryParameters = []string{
	"application_name", "connect_timeout", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "options",
	"target_session_attrs", "tcp_user_timeout",
}

// readQuery takes in the query of a URL but for TLS. Rails prefers a query's login and address to that of the URL, and the
// operator does not know them: which one is meant, nobody can tell.
func readQuery(s connectionSecret, u *url.URL, c *Connection) error {
	query := u.Query()
	for _, name := range []string{"host", "hostaddr", "port", "user", "username", "password", "dbname", "database", "socket", "service"} {
		if query.Has(name) {
			return &keyError{s.url, fmt.Sprintf("has %s in its query: write it before the question mark", name)}
		}
	}
	if c.Kind != recorded.PostgreSQL {
		return nil
	}
	for _, name := range queryParameters {
		if !query.Has(name) {
			continue
		}
		if strings.ContainsFunc(query.Get(name), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return &keyError{s.url, fmt.Sprintf("has a control character in %s of its query", name)}
		}
		if c.Parameters == nil {
			c.Parameters = map[string]string{}
		}
		c.Parameters[name] = query.Get(name)
	}
	return nil
}

// readSQLTLS returns how the connection is encrypted: by what the APIManager says, else by the query of the URL, else as the
// clients do by themselves, which is Preferred with PostgreSQL and nothing with porta's MySQL.
func readSQLTLS(s connectionSecret, data map[string][]byte, encrypted bool, kind recorded.DatabaseKind, query url.Values) (*TLS, error) {
	key, mode := s.url, ""
	for _, name := range []string{"sslmode", "ssl_mode"} {
		if query.Has(name) {
			mode = query.Get(name)
		}
	}
	if encrypted {
		key, mode = s.mode, strings.TrimSpace(string(data[s.mode]))
	}
	var m TLSMode
	switch strings.ReplaceAll(strings.ToLower(mode), "_", "-") {
	case "disable", "disabled":
		return nil, nil
	case "allow", "prefer", "preferred":
		m = TLSPreferred
	case "require", "required":
		m = TLSRequired
	case "verify-ca":
		m = TLSVerifyCA
	case "verify-full", "verify-identity":
		m = TLSVerify
	case "":
		switch {
		case encrypted: // The operator asks for a mode; porta's default, with a CA, is this one.
			m = TLSVerify
		case kind == recorded.PostgreSQL:
			m = TLSPreferred
		default:
			return nil, nil
		}
	default:
		return nil, &keyError{key, "names a mode of TLS that neither PostgreSQL nor MySQL has: use verify-full or VERIFY_IDENTITY"}
	}
	t := &TLS{Mode: m}
	if !encrypted && m != TLSVerifyCA && m != TLSVerify { // The Secret's certificates are not used.
		return t, nil
	}
	return t, readCertificates(s, data, t)
}

// readCertificates reads CA, client certificate and its key.
func readCertificates(s connectionSecret, data map[string][]byte, t *TLS) error {
	t.CA, t.Cert, t.Key = data[s.ca], data[s.cert], data[s.key]
	if len(t.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(t.CA) {
		return &keyError{s.ca, "holds no certificate in PEM"}
	}
	if len(t.Cert) == 0 && len(t.Key) == 0 {
		return nil
	}
	if _, err := tls.X509KeyPair(t.Cert, t.Key); err != nil { // err may quote what it did not expect.
		return &keyError{s.cert, fmt.Sprintf("and key %q are not a certificate and its key, in PEM and not encrypted", s.key)}
	}
	return nil
}

// readRedis reads the connection of a Redis database.
func readRedis(s connectionSecret, data map[string][]byte, encrypted bool) (Connection, error) {
	u, err := parseRedis(s.url, string(data[s.url]))
	if err != nil {
		return Connection{}, err
	}
	c := Connection{Kind: recorded.Redis, Database: strings.TrimPrefix(u.Path, "/")}
	if c.Database == "" {
		c.Database = "0"
	}
	if n, err := strconv.ParseUint(c.Database, 10, 31); err != nil || strconv.FormatUint(n, 10) != c.Database {
		return Connection{}, &keyError{s.url, "has a path that is no number of a database"}
	}
	if c.Address, err = readAddress(s.url, u, 6379); err != nil {
		return Connection{}, err
	}
	c.Username, c.Password = login(u, string(data[s.username]), string(data[s.password]))
	if u.Scheme == "rediss" || encrypted {
		c.TLS = &TLS{Mode: TLSVerify}
		if err := readCertificates(s, data, c.TLS); err != nil {
			return Connection{}, err
		}
	}
	if c.Sentinel, err = readSentinel(s, data, encrypted); err != nil {
		return Connection{}, err
	}
	if c.Sentinel != nil {
		c.Address.Port = 0 // A sentinel tells it.
	}
	return c, nil
}

// parseRedis parses the URL of a Redis server or sentinel, whose scheme is optional.
func parseRedis(key, value string) (*url.URL, error) {
	if value != "" && !strings.Contains(value, "://") && !strings.HasPrefix(value, "unix:") {
		value = "redis://" + value
	}
	u, err := parseURL(key, value)
	switch {
	case err != nil && strings.HasPrefix(value, "unix:"), err == nil && u.Scheme == "unix":
		return nil, &keyError{key, "is a socket of the same host, which no other pod can use"}
	case err != nil:
		return nil, err
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return nil, &keyError{key, "begins with neither redis:// nor rediss://"}
	}
	return u, nil
}

// login returns user and password of a URL, or else those of the keys.
func login(u *url.URL, username, password string) (string, string) {
	if name := u.User.Username(); name != "" {
		username = name
	}
	if word, _ := u.User.Password(); word != "" {
		password = word
	}
	return username, password
}

// readSentinel returns the sentinels, nil if there are none. They share one login.
func readSentinel(s connectionSecret, data map[string][]byte, encrypted bool) (*Sentinel, error) {
	hosts := strings.FieldsFunc(string(data[s.sentinels]), func(r rune) bool { return r == ',' || r <= ' ' })
	if len(hosts) == 0 {
		return nil, nil
	}
	out := &Sentinel{Username: string(data[s.sentinelUsername]), Password: string(data[s.sentinelPassword]), TLS: encrypted}
	for _, host := range hosts {
		u, err := parseRedis(s.sentinels, host)
		if err != nil {
			return nil, err
		}
		address, err := readAddress(s.sentinels, u, 26379)
		if err != nil {
			return nil, err
		}
		out.Addresses = append(out.Addresses, address)
		out.Username, out.Password = login(u, out.Username, out.Password)
		out.TLS = out.TLS || u.Scheme == "rediss"
	}
	return out, nil
}

// String returns host, port and name, without the login.
func (c Connection) String() string {
	if c.Sentinel == nil {
		return c.Address.String() + "/" + c.Database
	}
	sentinels := make([]string, len(c.Sentinel.Addresses))
	for i, a := range c.Sentinel.Addresses {
		sentinels[i] = a.String()
	}
	return fmt.Sprintf("%s/%s (by the sentinels %s)", c.Address.Host, c.Database, strings.Join(sentinels, ", "))
}

// SameDatabase reports whether two connections lead to the same database, as far as they tell: a server may have several names.
func (c Connection) SameDatabase(other Connection) bool {
	return c.Kind == other.Kind && strings.EqualFold(c.place(), other.place())
}

// place is String with the sentinels in one order.
func (c Connection) place() string {
	if c.Sentinel == nil {
		return c.String()
	}
	addresses := slices.Clone(c.Sentinel.Addresses)
	slices.SortFunc(addresses, func(a, b Address) int { return strings.Compare(a.String(), b.String()) })
	c.Sentinel = &Sentinel{Addresses: addresses}
	return c.String()
}

// GoString is String, so that no way of printing a connection shows the login.
func (c Connection) GoString() string { return c.String() }
