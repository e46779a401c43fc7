package threescale_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// printable is every printable character of ASCII, and one beyond.
func printable() string {
	var b strings.Builder
	for r := ' '; r < 0x7f; r++ {
		b.WriteRune(r)
	}
	return b.String() + "ü"
}

// certificate returns a certificate and its key in PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func TestReadConnection(t *testing.T) {
	const (
		system, zync, jobs, counters = threescale.SystemDatabase, threescale.ZyncDatabase, threescale.SystemRedis, threescale.BackendRedis
		storage                      = "REDIS_STORAGE_"
	)
	type data = map[string]string
	type address = threescale.Address
	cert, key := certificate(t)
	tls := func(mode threescale.TLSMode) *threescale.TLS { return &threescale.TLS{Mode: mode} }
	withFiles := func(mode threescale.TLSMode) *threescale.TLS {
		return &threescale.TLS{Mode: mode, CA: []byte(cert), Cert: []byte(cert), Key: []byte(key)}
	}
	files := func(d data) data {
		d["DB_SSL_CA"], d["DB_SSL_CERT"], d["DB_SSL_KEY"] = cert, cert, key
		d["REDIS_SSL_CA"], d["REDIS_SSL_CERT"], d["REDIS_SSL_KEY"] = cert, cert, key
		return d
	}
	mysql := func(host string, port int, name string, t *threescale.TLS) threescale.Connection {
		return threescale.Connection{Kind: recorded.MySQL, Address: address{host, port}, Database: name, Username: "app", Password: "secret", TLS: t}
	}
	postgresql := func(host string, port int, t *threescale.TLS, parameters data) threescale.Connection {
		return threescale.Connection{Kind: recorded.PostgreSQL, Address: address{host, port}, Database: "system", Username: "app", Password: "secret", TLS: t, Parameters: parameters}
	}
	redis := func(host string, port int, name, username, password string, t *threescale.TLS, s *threescale.Sentinel) threescale.Connection {
		return threescale.Connection{Kind: recorded.Redis, Address: address{host, port}, Database: name, Username: username, Password: password, TLS: t, Sentinel: s}
	}
	cases := map[string]struct {
		reason    string
		database  threescale.Database
		data      data
		encrypted bool
		want      threescale.Connection
	}{
		"MySQL": {"porta's own form; nothing is encrypted", system, data{"URL": "mysql2://app:secret@db.example.com/system"}, false,
			mysql("db.example.com", 3306, "system", nil)},
		"MySQLOther": {"the operator takes it too", system, data{"URL": "mysql://app:secret@db:3307/system"}, false, mysql("db", 3307, "system", nil)},
		"PostgreSQL": {"libpq encrypts if the server can", system, data{"URL": "postgresql://app:secret@db/system"}, false,
			postgresql("db", 5432, tls(threescale.TLSPreferred), nil)},
		"PostgreSQLOther": {"the operator takes it too", zync, data{"DATABASE_URL": "postgres://app:secret@10.0.0.1:5433/system"}, false,
			postgresql("10.0.0.1", 5433, tls(threescale.TLSPreferred), nil)},
		"IPv6": {"an address in brackets", system, data{"URL": "postgresql://app:secret@[fd00::1]:5433/system"}, false,
			postgresql("fd00::1", 5433, tls(threescale.TLSPreferred), nil)},
		"Scheme": {"in capitals it is the same", system, data{"URL": "MySQL2://app:secret@db/system"}, false, mysql("db", 3306, "system", nil)},
		"Name":   {"the name is percent-encoded too", system, data{"URL": "mysql2://app:secret@db/a%2Fb%20c"}, false, mysql("db", 3306, "a/b c", nil)},
		"Rails": {"what only Rails knows is left out", system, data{"URL": "postgresql://app:secret@db/system?pool=5&encoding=unicode&connect_timeout=7&prepared_statements=false"}, false,
			postgresql("db", 5432, tls(threescale.TLSPreferred), data{"connect_timeout": "7"})},
		"RailsMySQL": {"nothing of it is for the client", system, data{"URL": "mysql2://app:secret@db/system?reconnect=true&strict=false"}, false, mysql("db", 3306, "system", nil)},
		"QueryTLS": {"an encryption of the URL alone", system, data{"URL": "postgresql://app:secret@db/system?sslmode=require"}, false,
			postgresql("db", 5432, tls(threescale.TLSRequired), nil)},
		"QueryNoTLS": {"and none", system, data{"URL": "postgresql://app:secret@db/system?sslmode=disable"}, false, postgresql("db", 5432, nil, nil)},
		"QueryTLSProven": {"with the Secret's CA", system, files(data{"URL": "mysql2://app:secret@db/system?ssl_mode=verify_ca"}), false,
			mysql("db", 3306, "system", withFiles(threescale.TLSVerifyCA))},
		"Encrypted": {"all keys of it", system, files(data{"URL": "mysql2://app:secret@db/system", "DATABASE_SSL_MODE": "VERIFY_IDENTITY"}), true,
			mysql("db", 3306, "system", withFiles(threescale.TLSVerify))},
		"EncryptedWins": {"the mode of the Secret, not that of the URL", system, files(data{"URL": "postgresql://app:secret@db/system?sslmode=disable", "DATABASE_SSL_MODE": "verify-ca"}), true,
			postgresql("db", 5432, withFiles(threescale.TLSVerifyCA), nil)},
		"NotEncrypted": {"without the flag the operator sets none of it", system, files(data{"URL": "mysql2://app:secret@db/system", "DATABASE_SSL_MODE": "VERIFY_IDENTITY"}), false,
			mysql("db", 3306, "system", nil)},
		"OtherSpelling": {"MySQL's mode for PostgreSQL", zync, files(data{"DATABASE_URL": "postgresql://app:secret@db/system", "DATABASE_SSL_MODE": "verify_identity\n"}), true,
			postgresql("db", 5432, withFiles(threescale.TLSVerify), nil)},
		"OtherSpellingMySQL": {"PostgreSQL's mode for MySQL", system, files(data{"URL": "mysql2://app:secret@db/system", "DATABASE_SSL_MODE": "prefer"}), true,
			mysql("db", 3306, "system", withFiles(threescale.TLSPreferred))},
		"NoMode": {"all is proven", system, files(data{"URL": "mysql2://app:secret@db/system"}), true, mysql("db", 3306, "system", withFiles(threescale.TLSVerify))},
		"Disabled": {"although the flag is set", system, files(data{"URL": "mysql2://app:secret@db/system", "DATABASE_SSL_MODE": "DISABLED"}), true,
			mysql("db", 3306, "system", nil)},
		"NoFiles": {"by the system's authorities", system, data{"URL": "postgresql://app:secret@db/system", "DATABASE_SSL_MODE": "verify-full"}, true,
			postgresql("db", 5432, tls(threescale.TLSVerify), nil)},
		"NoPassword": {"a client certificate, or trust", system, data{"URL": "postgresql://app@db/system"}, false,
			threescale.Connection{Kind: recorded.PostgreSQL, Address: address{"db", 5432}, Database: "system", Username: "app", TLS: tls(threescale.TLSPreferred)}},
		"Oracle": {"it is read, and refused later by its name", system, data{"URL": "oracle-enhanced://app:secret@db:1521/system"}, false,
			threescale.Connection{Kind: recorded.Oracle, Address: address{"db", 1521}, Database: "system", Username: "app", Password: "secret"}},
		"Redis":          {"the operator's default", counters, data{storage + "URL": "redis://backend-redis:6379/0"}, false, redis("backend-redis", 6379, "0", "", "", nil, nil)},
		"RedisIndex":     {"the path", jobs, data{"URL": "redis://system-redis:6379/1"}, false, redis("system-redis", 6379, "1", "", "", nil, nil)},
		"RedisShort":     {"neither port nor index nor scheme", jobs, data{"URL": "system-redis"}, false, redis("system-redis", 6379, "0", "", "", nil, nil)},
		"RedisNoScheme":  {"a host with a port", jobs, data{"URL": "system-redis:6380/2"}, false, redis("system-redis", 6380, "2", "", "", nil, nil)},
		"RedisSlash":     {"no index", jobs, data{"URL": "redis://system-redis/"}, false, redis("system-redis", 6379, "0", "", "", nil, nil)},
		"RedisLogin":     {"that of the keys", counters, data{storage + "URL": "redis://r", storage + "USERNAME": "app", storage + "PASSWORD": "a b"}, false, redis("r", 6379, "0", "app", "a b", nil, nil)},
		"RedisURLLogin":  {"that of the URL wins", counters, data{storage + "URL": "redis://u:p@r", storage + "USERNAME": "app", storage + "PASSWORD": "a b"}, false, redis("r", 6379, "0", "u", "p", nil, nil)},
		"RedisPassword":  {"of no user, the usual form", jobs, data{"URL": "redis://:p%40w@r/1"}, false, redis("r", 6379, "1", "", "p@w", nil, nil)},
		"RedisTLS":       {"by the scheme", jobs, data{"URL": "rediss://r:6380/1"}, false, redis("r", 6380, "1", "", "", tls(threescale.TLSVerify), nil)},
		"RedisEncrypted": {"by the APIManager", counters, files(data{storage + "URL": "rediss://r:6380"}), true, redis("r", 6380, "0", "", "", withFiles(threescale.TLSVerify), nil)},
		"Sentinel": {"blanks, empty ones, a scheme or none, a port or none", counters, data{
			storage + "URL": "redis://mymaster/3", storage + "PASSWORD": "p", storage + "SENTINEL_HOSTS": "redis://a:26380, b ,,\n[fd00::1]:5",
			storage + "SENTINEL_USERNAME": "watch", storage + "SENTINEL_PASSWORD": "dog",
		}, false, redis("mymaster", 0, "3", "", "p", nil, &threescale.Sentinel{Addresses: []address{{"a", 26380}, {"b", 26379}, {"fd00::1", 5}}, Username: "watch", Password: "dog"})},
		"SentinelLogin": {"its URL has the login of all", jobs, data{"URL": "redis://mymaster", "SENTINEL_HOSTS": "redis://:dog@a,b", "REDIS_SENTINEL_PASSWORD": "cat"}, false,
			redis("mymaster", 0, "0", "", "", nil, &threescale.Sentinel{Addresses: []address{{"a", 26379}, {"b", 26379}}, Password: "dog"})},
		"SentinelTLS": {"the flag means both, whatever the scheme", jobs, data{"URL": "redis://mymaster", "SENTINEL_HOSTS": "a"}, true,
			redis("mymaster", 0, "0", "", "", tls(threescale.TLSVerify), &threescale.Sentinel{Addresses: []address{{"a", 26379}}, TLS: true})},
		"SentinelScheme": {"the sentinels' own", jobs, data{"URL": "redis://mymaster", "SENTINEL_HOSTS": "rediss://a"}, false,
			redis("mymaster", 0, "0", "", "", nil, &threescale.Sentinel{Addresses: []address{{"a", 26379}}, TLS: true})},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := threescale.ReadConnection(tc.database, bytesOf(tc.data), tc.encrypted)
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
}

func bytesOf(texts map[string]string) map[string][]byte {
	data := map[string][]byte{}
	for key, text := range texts {
		data[key] = []byte(text)
	}
	return data
}

func TestReadConnectionRefuses(t *testing.T) {
	cert, _ := certificate(t)
	const system, jobs = threescale.SystemDatabase, threescale.SystemRedis
	const notURL = `key "URL" is not a URL: all but letters, digits and -._~ has to be percent-encoded in user and password`
	cases := map[string]struct {
		reason   string
		database threescale.Database
		data     map[string]string
		want     string
	}{
		"Nothing":        {"no Secret", system, nil, `cannot read Secret "system-database": key "URL" is missing or empty`},
		"Database":       {"no such database", "searchd", nil, `cannot read the connection of database "searchd": 3scale has none of that name`},
		"LineBreak":      {"as echo leaves one", system, map[string]string{"URL": "mysql2://app:hunter2@db/system\n"}, "has a blank or a line break"},
		"Blank":          {"not encoded", system, map[string]string{"URL": "mysql2://app:hunter2 hunter2@db/system"}, "has a blank or a line break"},
		"Scheme":         {"of another tool", system, map[string]string{"URL": "sqlserver://app:hunter2@db/system"}, "begins with none of"},
		"NoScheme":       {"only a host", system, map[string]string{"URL": "db.example.com"}, "begins with none of"},
		"Opaque":         {"without slashes", system, map[string]string{"URL": "mysql2:hunter2"}, notURL},
		"Percent":        {"not encoded", system, map[string]string{"URL": "mysql2://app:hunter2%@db/system"}, notURL},
		"Slash":          {"the password would be a port", system, map[string]string{"URL": "mysql2://app:hunter2/x@db/system"}, notURL},
		"SlashLater":     {"the rest of the password would be the name", system, map[string]string{"URL": "mysql2://app:p@hunter2/x@db/system"}, notURL},
		"QuestionMark":   {"the password would be the host", jobs, map[string]string{"URL": "redis://app:p@hunter2?x@db/1"}, notURL},
		"Hash":           {"the password would be the host", system, map[string]string{"URL": "mysql2://app:p@hunter2#x@db/system"}, notURL},
		"NoHost":         {"a socket", system, map[string]string{"URL": "mysql2://app:hunter2@/system"}, `key "URL" has no host`},
		"Hosts":          {"libpq's list", system, map[string]string{"URL": "postgresql://app:hunter2@a,b/system"}, "has a host that is no name and no address"},
		"NoUser":         {"nobody", system, map[string]string{"URL": "mysql2://:hunter2@db/system"}, "has no user"},
		"NoName":         {"no database", system, map[string]string{"URL": "mysql2://app:hunter2@db"}, "has no name of a database"},
		"Path":           {"two names", system, map[string]string{"URL": "mysql2://app:hunter2@db/a/b"}, notURL},
		"Port":           {"too high", system, map[string]string{"URL": "mysql2://app:hunter2@db:65536/system"}, "has a port that is not in 1-65535"},
		"Port0":          {"none", system, map[string]string{"URL": "mysql2://app:hunter2@db:0/system"}, "has a port that is not in 1-65535"},
		"EncodedBreak":   {"no file of a client can hold it", system, map[string]string{"URL": "mysql2://app:hunter2%0A@db/system"}, "has a line break or a NUL"},
		"EncodedNUL":     {"nor this", system, map[string]string{"URL": "mysql2://app:hunter2%00@db/system"}, "has a line break or a NUL"},
		"QueryHost":      {"which one is meant?", system, map[string]string{"URL": "postgresql://app:hunter2@db/system?host=/run"}, "has host in its query"},
		"QueryPassword":  {"likewise", system, map[string]string{"URL": "postgresql://app@db/system?password=hunter2"}, "has password in its query"},
		"QueryControl":   {"a parameter of a file", system, map[string]string{"URL": "postgresql://app:hunter2@db/system?options=%0A"}, "has a control character in options of its query"},
		"Query":          {"not encoded", system, map[string]string{"URL": "postgresql://app:hunter2@db/system?a=%zz"}, "has a query that cannot be read"},
		"Mode":           {"nobody's", system, map[string]string{"URL": "mysql2://app:hunter2@db/system", "DATABASE_SSL_MODE": "hunter2"}, `key "DATABASE_SSL_MODE" names a mode of TLS`},
		"CA":             {"no PEM", system, map[string]string{"URL": "mysql2://app:hunter2@db/system", "DB_SSL_CA": "hunter2"}, `key "DB_SSL_CA" holds no certificate in PEM`},
		"CertAlone":      {"without its key", system, map[string]string{"URL": "mysql2://app:hunter2@db/system", "DB_SSL_CERT": cert}, `key "DB_SSL_CERT" and key "DB_SSL_KEY" are not a certificate and its key`},
		"Zync":           {"it knows PostgreSQL only", threescale.ZyncDatabase, map[string]string{"DATABASE_URL": "mysql2://app:hunter2@db/zync"}, `cannot read Secret "zync": key "DATABASE_URL" is not that of a PostgreSQL database`},
		"RedisScheme":    {"of another tool", jobs, map[string]string{"URL": "http://hunter2@r"}, "begins with neither redis:// nor rediss://"},
		"RedisSocket":    {"of the same host", jobs, map[string]string{"URL": "unix:///run/hunter2"}, "is a socket of the same host"},
		"RedisSocketTwo": {"likewise", jobs, map[string]string{"URL": "unix:/run/hunter2"}, "is a socket of the same host"},
		"RedisIndex":     {"no number", jobs, map[string]string{"URL": "redis://r/hunter2"}, "has a path that is no number of a database"},
		"RedisIndexSign": {"no number either", jobs, map[string]string{"URL": "redis://r/+1"}, "has a path that is no number of a database"},
		"RedisNoHost":    {"no host", jobs, map[string]string{"URL": "redis://:hunter2@/1"}, "has no host"},
		"SentinelPort":   {"no number", jobs, map[string]string{"URL": "redis://r", "SENTINEL_HOSTS": "a:hunter2"}, `key "SENTINEL_HOSTS" is not a URL`},
		"SentinelScheme": {"of another tool", jobs, map[string]string{"URL": "redis://r", "SENTINEL_HOSTS": "a,http://hunter2@b"}, `key "SENTINEL_HOSTS" begins with neither`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := threescale.ReadConnection(tc.database, bytesOf(tc.data), true)
			require.ErrorContains(t, err, tc.want, tc.reason)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestReadConnectionPasswords(t *testing.T) {
	for _, user := range []*url.Userinfo{url.UserPassword(printable(), printable()), url.UserPassword("+", "%2B")} {
		for d, u := range map[threescale.Database]url.URL{
			threescale.SystemDatabase: {Scheme: "mysql2", Host: "db", Path: "/system"},
			threescale.ZyncDatabase:   {Scheme: "postgresql", Host: "db", Path: "/zync"},
			threescale.BackendRedis:   {Scheme: "redis", Host: "r", Path: "/0"},
		} {
			u.User = user
			_, keys := threescale.ConnectionKeys(d)
			data := map[string][]byte{}
			for _, key := range keys {
				if strings.HasSuffix(key, "URL") {
					data[key] = []byte(u.String())
				}
			}
			c, err := threescale.ReadConnection(d, data, false)
			require.NoError(t, err)
			password, _ := user.Password()
			assert.Equal(t, []string{user.Username(), password}, []string{c.Username, c.Password})
			for _, format := range []string{"%s", "%v", "%+v", "%#v"} {
				assert.NotContains(t, fmt.Sprintf(format, c), password, "no way of printing it shows the password")
			}
		}
	}
}

func TestConnectionString(t *testing.T) {
	cases := map[string]struct{ url, sentinels, want string }{
		"Server":   {"redis://u:p@r/1", "", "r:6379/1"},
		"IPv6":     {"redis://u:p@[fd00::1]", "", "[fd00::1]:6379/0"},
		"Sentinel": {"redis://u:p@mymaster", "a,:q@b:1", "mymaster/0 (by the sentinels a:26379, b:1)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, err := threescale.ReadConnection(threescale.SystemRedis, map[string][]byte{"URL": []byte(tc.url), "SENTINEL_HOSTS": []byte(tc.sentinels)}, false)
			require.NoError(t, err)
			assert.Equal(t, tc.want, c.String())
		})
	}
}

func TestConnectionKeys(t *testing.T) {
	want := map[threescale.Database]string{
		threescale.SystemDatabase: "system-database: DATABASE_SSL_MODE DB_SSL_CA DB_SSL_CERT DB_SSL_KEY URL",
		threescale.ZyncDatabase:   "zync: DATABASE_SSL_MODE DATABASE_URL DB_SSL_CA DB_SSL_CERT DB_SSL_KEY",
		threescale.SystemRedis:    "system-redis: REDIS_PASSWORD REDIS_SENTINEL_PASSWORD REDIS_SENTINEL_USERNAME REDIS_SSL_CA REDIS_SSL_CERT REDIS_SSL_KEY REDIS_USERNAME SENTINEL_HOSTS URL",
		threescale.BackendRedis: "backend-redis: REDIS_SSL_CA REDIS_SSL_CERT REDIS_SSL_KEY REDIS_STORAGE_PASSWORD REDIS_STORAGE_SENTINEL_HOSTS REDIS_STORAGE_SENTINEL_PASSWORD " +
			"REDIS_STORAGE_SENTINEL_USERNAME REDIS_STORAGE_URL REDIS_STORAGE_USERNAME",
	}
	for _, d := range threescale.Databases() {
		secret, keys := threescale.ConnectionKeys(d)
		assert.Equal(t, want[d], secret+": "+strings.Join(keys, " "), d)
		assert.Contains(t, secretNames(), secret, "a backup holds it")
	}
}

func secretNames() []string {
	var names []string
	for _, member := range threescale.Secrets(nil) {
		names = append(names, member.Name)
	}
	return names
}

func TestDatabaseTLS(t *testing.T) {
	fields := map[threescale.Database]string{
		threescale.SystemDatabase: `{"system": {"systemDatabaseTLSEnabled": %s}}`,
		threescale.SystemRedis:    `{"system": {"systemRedisTLSEnabled": %s}}`,
		threescale.BackendRedis:   `{"backend": {"backendRedisTLSEnabled": %s, "queuesRedisTLSEnabled": false}}`,
		threescale.ZyncDatabase:   `{"zync": {"zyncDatabaseTLSEnabled": %s}}`,
	}
	for set, spec := range fields {
		for _, value := range []string{"true", "false", "null", `"true"`} {
			apiManager := decode(t, []byte(`{"spec": `+fmt.Sprintf(spec, value)+`}`))
			for _, d := range threescale.Databases() {
				assert.Equal(t, value == "true" && d == set, threescale.DatabaseTLS(apiManager, d), "%s of %s", value, spec)
			}
		}
	}
	assert.False(t, threescale.DatabaseTLS(nil, threescale.SystemDatabase))
}

func FuzzReadConnection(f *testing.F) {
	for _, seed := range []string{"mysql2://app:secret@db/system", "postgresql://a:b%40@[::1]:5/c?sslmode=require&pool=5", "redis://:p@m/1", "oracle-enhanced://u:p@h", "r:1/2", "%", ""} {
		f.Add(seed, "redis://:q@a:1, b", "verify-full", true)
		f.Add(seed, "", "", false)
	}
	f.Fuzz(func(t *testing.T, text, sentinels, mode string, encrypted bool) {
		data := map[string][]byte{
			"URL": []byte(text), "DATABASE_URL": []byte(text), "REDIS_STORAGE_URL": []byte(text), "DATABASE_SSL_MODE": []byte(mode),
			"SENTINEL_HOSTS": []byte(sentinels), "REDIS_STORAGE_SENTINEL_HOSTS": []byte(sentinels),
		}
		for _, d := range threescale.Databases() {
			c, err := threescale.ReadConnection(d, data, encrypted)
			if err != nil {
				assert.Regexp(t, `^cannot read Secret "[a-z-]+": key "[A-Z_]+" [a-zA-Z0-9 ,.:/"_~-]+$`, err.Error(), "words of ours")
				continue
			}
			assert.NotEmpty(t, c.Address.Host)
			assert.Equal(t, c.Sentinel == nil, c.Address.Port > 0)
			if _, rest, _ := strings.Cut(text, "://"); c.Kind != recorded.Redis && strings.Contains(rest, "@") {
				assert.NotContains(t, rest[:strings.LastIndex(rest, "@")], "/", "what is before it is a login, and no host")
			}
		}
	})
}
