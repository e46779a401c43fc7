package databases

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shipped is the folder of what is tested.
const shipped = "../../examples/restore/databases/"

const (
	oldDomain = "apps.example.com"
	newDomain = "apps.dr.example.net"
)

func TestStatements(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *server{"MariaDB": startMariaDB, "PostgreSQL": startPostgreSQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			for name, test := range map[string]func(*testing.T, *server){
				"Domain":          testDomain,
				"DomainBelowOld":  testDomainBelowOld,
				"DomainAboveOld":  testDomainAboveOld,
				"DomainTaken":     testDomainTaken,
				"DomainTooLong":   testDomainTooLong,
				"Inventory":       testInventory,
				"Quiet":           testQuiet,
				"QuietAgain":      testQuietAgain,
				"QuietWithout":    testQuietWithoutATable,
				"Undo":            testUndo,
				"UndoAfterUse":    testUndoAfterUse,
				"UndoFails":       testUndoFails,
				"QuietThenDomain": testQuietThenDomain,
			} {
				t.Run(name, func(t *testing.T) { test(t, s) })
			}
		})
	}
}

func TestDomainRefuses(t *testing.T) {
	long := strings.Repeat("a", 63)
	cases := map[string]struct {
		reason string
		args   []string
	}{
		"NoArguments":   {"nothing to do", nil},
		"NoTenant":      {"Backend's host is that of a tenant", []string{"mysql", oldDomain, newDomain}},
		"TooMany":       {"a word too many may be a quoting mistake", []string{"mysql", oldDomain, newDomain, "3scale", "x"}},
		"Oracle":        {"no other dialect", []string{"oracle", oldDomain, newDomain, "3scale"}},
		"UpperCase":     {"porta's hosts are in lower case", []string{"mysql", "Apps.example.com", newDomain, "3scale"}},
		"Quote":         {"would end the literal", []string{"mysql", "apps.example.com'", newDomain, "3scale"}},
		"Backslash":     {"would escape in MySQL", []string{"mysql", oldDomain, `apps\.example.com`, "3scale"}},
		"Percent":       {"stands for everything in LIKE", []string{"postgresql", "%.example.com", newDomain, "3scale"}},
		"Underscore":    {"stands for any character in LIKE", []string{"postgresql", "a_b.example.com", newDomain, "3scale"}},
		"NewLine":       {"the second line would go unchecked", []string{"mysql", oldDomain, newDomain + "\n'", "3scale"}},
		"Space":         {"no domain", []string{"mysql", oldDomain, "apps example.com", "3scale"}},
		"LeadingDot":    {"the dot is the script's", []string{"mysql", ".example.com", newDomain, "3scale"}},
		"TrailingDot":   {"no host in porta ends with it", []string{"mysql", oldDomain, newDomain + ".", "3scale"}},
		"EmptyLabel":    {"no domain", []string{"mysql", oldDomain, "apps..net", "3scale"}},
		"Hyphen":        {"no label ends with it", []string{"mysql", oldDomain, "apps-.net", "3scale"}},
		"LongLabel":     {"a label has 63 characters at most", []string{"mysql", oldDomain, long + "a.net", "3scale"}},
		"LongDomain":    {"a domain has 253 characters at most", []string{"mysql", oldDomain, strings.Join([]string{long, long, long, long}, "."), "3scale"}},
		"TopLevel":      {"would take in the tenants' own domains", []string{"mysql", "com", newDomain, "3scale"}},
		"Empty":         {"would take in everything", []string{"mysql", "", newDomain, "3scale"}},
		"Same":          {"nothing to do", []string{"mysql", oldDomain, oldDomain, "3scale"}},
		"TenantDotted":  {"a tenant is one label", []string{"mysql", oldDomain, newDomain, "3scale.x"}},
		"TenantQuoted":  {"would end the literal", []string{"mysql", oldDomain, newDomain, "x'"}},
		"TenantMissing": {"backend- is no host", []string{"mysql", oldDomain, newDomain, ""}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("bash", append([]string{shipped + "domain.sh"}, tc.args...)...)
			var out, errors bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errors
			var exit *exec.ExitError
			require.ErrorAs(t, cmd.Run(), &exit, tc.reason)
			assert.Equal(t, 2, exit.ExitCode(), tc.reason)
			assert.Empty(t, out.String(), "nothing for a database")
			assert.Contains(t, errors.String(), "usage: domain.sh mysql|postgresql OLD NEW TENANT")
		})
	}
}

// script returns what a shipped script prints for the kind of a server.
func (s *server) script(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command("bash", append([]string{shipped + name, s.kind}, args...)...).Output()
	require.NoError(t, err)
	return string(out)
}

// move runs what domain.sh prints.
func (s *server) move(t *testing.T, database, from, to string) {
	t.Helper()
	s.Run(t, database, s.script(t, "domain.sh", from, to, "3scale"))
}

var moved = []value{
	{"master's portal", at("accounts.domain", 1), "master.apps.dr.example.net"},
	{"master's admin portal", at("accounts.self_domain", 1), "master.apps.dr.example.net"},
	{"a tenant's developer portal", at("accounts.domain", 2), "3scale.apps.dr.example.net"},
	{"a tenant's admin portal", at("accounts.self_domain", 2), "3scale-admin.apps.dr.example.net"},
	{"a custom domain stays", at("accounts.domain", 5), "developers.acme.org"},
	{"beside a custom domain", at("accounts.self_domain", 5), "acme-admin.apps.dr.example.net"},
	{"the end of a longer word", at("accounts.domain", 7), "foo.myapps.example.com"},
	{"the end of a longer word", at("accounts.self_domain", 7), "foo-admin.myapps.example.com"},
	{"the beginning of a longer name", at("accounts.domain", 8), "bar.apps.example.com.evil.org"},
	{"the beginning of a longer label", at("accounts.self_domain", 8), "bar-admin.apps.example.community"},
	{"a buyer has none", at("accounts.domain", 9), "NULL"},
	{"a buyer has none", at("accounts.self_domain", 9), "NULL"},
	{"no host below the domain", at("accounts.domain", 10), "apps.example.com"},
	{"the folder of the tenant's files", at("accounts.s3_prefix", 2), "apps.example.com"},
	{"a sender's address is for the user to decide", at("accounts.from_email", 2), "no-reply@apps.example.com"},
	{"with a port", at("proxies.endpoint", 2), "https://api-3scale-apicast-production.apps.dr.example.net:443"},
	{"with a port", at("proxies.sandbox_endpoint", 2), "https://api-3scale-apicast-staging.apps.dr.example.net:443"},
	{"derived of the endpoint", at("proxies.production_domain", 2), "api-3scale-apicast-production.apps.dr.example.net"},
	{"derived of the endpoint", at("proxies.staging_domain", 2), "api-3scale-apicast-staging.apps.dr.example.net"},
	{"an identity provider is for the user to decide", at("proxies.oidc_issuer_endpoint", 3), "https://zync:secret@sso.apps.example.com:443/auth/realms/prod"},
	{"a custom domain stays", at("proxies.endpoint", 4), "https://api.acme.org:443"},
	{"a custom domain stays", at("proxies.production_domain", 4), "api.acme.org"},
	{"beside a custom domain", at("proxies.sandbox_endpoint", 4), "https://acme-acme-apicast-staging.apps.dr.example.net:443"},
	{"the end of a longer word", at("proxies.endpoint", 5), "https://trap.myapps.example.com:443"},
	{"the end of a longer word", at("proxies.production_domain", 5), "trap.myapps.example.com"},
	{"the beginning of a longer label", at("proxies.sandbox_endpoint", 5), "https://trap-staging.apps.example.community:443"},
	{"neither port nor path", at("proxies.endpoint", 6), "http://odd.apps.dr.example.net"},
	{"the host, and not what is like it in the path", at("proxies.sandbox_endpoint", 6), "https://odd-staging.apps.dr.example.net/to/other.apps.example.com/v1"},
	{"no host, but a part of the path", at("proxies.endpoint", 7), "https://api.acme.org/odd.apps.example.com/v1|"},
	{"none", at("proxies.sandbox_endpoint", 7), "NULL"},
	{
		"own hosts and Backend's are moved; upstream hosts, other products and texts are not", at("proxy_configs.content", 1),
		`{"id":2,"name":"API of \"apps.example.com\"","proxy":{"endpoint":"https://api-3scale-apicast-production.apps.dr.example.net:443","sandbox_endpoint":"https://api-3scale-apicast-staging.apps.dr.example.net/base","staging_domain":"api-3scale-apicast-staging.apps.dr.example.net","production_domain":"api-3scale-apicast-production.apps.dr.example.net","api_backend":"https://echo.apps.example.com:443","hosts":["api-3scale-apicast-production.apps.dr.example.net","api-3scale-apicast-staging.apps.dr.example.net"],"backend":{"endpoint":"https://backend-3scale.apps.dr.example.net","host":"backend-3scale.apps.dr.example.net"},"policy_chain":[{"name":"apicast.policy.upstream","configuration":{"rules":[{"url":"http://my-api-3scale-apicast-production.apps.example.com:80"},{"url":"http://oidc-3scale-apicast-production.apps.example.com/"},{"url":"http://api-3scale-apicast-production.apps.example.com.evil.org/"}]}}]}}`,
	},
	{"APIcast asks for configurations by these", at("proxy_configs.hosts", 1), "|api-3scale-apicast-production.apps.dr.example.net|api-3scale-apicast-staging.apps.dr.example.net|"},
	{
		"the second host, beside a custom domain", at("proxy_configs.content", 2),
		`{"proxy":{"endpoint":"https://api.acme.org:443","sandbox_endpoint":"https://acme-acme-apicast-staging.apps.dr.example.net:443","hosts":["api.acme.org","acme-acme-apicast-staging.apps.dr.example.net"],"backend":{"endpoint":"https://backend-3scale.apps.dr.example.net:443","host":"backend-3scale.apps.dr.example.net"}}}`,
	},
	{"the second host, beside a custom domain", at("proxy_configs.hosts", 2), "|api.acme.org|acme-acme-apicast-staging.apps.dr.example.net|"},
	{"the end of a longer word", at("proxy_configs.content", 3), `{"proxy":{"endpoint":"https://trap.myapps.example.com:443","hosts":["trap.myapps.example.com"],"backend":{"endpoint":"https://backend-3scale.myapps.example.com"}}}`},
	{"the end of a longer word", at("proxy_configs.hosts", 3), "|trap.myapps.example.com|"},
	{"one host only", at("proxy_configs.content", 4), `{"proxy":{"endpoint":"http://odd.apps.dr.example.net","hosts":["odd.apps.dr.example.net"]}}`},
	{"one host only", at("proxy_configs.hosts", 4), "|odd.apps.dr.example.net|"},
	{"no host, but Backend's", at("proxy_configs.content", 5), `{"proxy":{"hosts":[],"backend":{"host":"backend-3scale.apps.dr.example.net"}}}`},
	{"no host", at("proxy_configs.hosts", 5), "NULL"},
}

// elsewhere are the tables that no domain is moved in.
func elsewhere() []string {
	var out []string
	for _, table := range tables {
		if table != "accounts" && table != "proxies" && table != "proxy_configs" {
			out = append(out, table)
		}
	}
	return out
}

func testDomain(t *testing.T, s *server) {
	db := s.database(t)
	before, rest := s.dump(t, db, tables), s.dump(t, db, elsewhere())

	s.move(t, db, oldDomain, newDomain)
	s.assertValues(t, db, moved)
	assert.Equal(t, rest, s.dump(t, db, elsewhere()))

	once := s.dump(t, db, tables)
	s.move(t, db, oldDomain, newDomain)
	assert.Equal(t, once, s.dump(t, db, tables), "twice is once")

	s.move(t, db, newDomain, oldDomain)
	assert.Equal(t, before, s.dump(t, db, tables), "the way back gives the same bytes: nothing else was changed")
}

// NEW ends with .OLD: what has been moved would match again.
func testDomainBelowOld(t *testing.T, s *server) {
	db := s.database(t)
	s.move(t, db, oldDomain, "dr."+oldDomain)
	s.assertValues(t, db, []value{
		{"below the new domain", at("accounts.domain", 2), "3scale.dr.apps.example.com"},
		{"below the new domain", at("proxies.endpoint", 2), "https://api-3scale-apicast-production.dr.apps.example.com:443"},
		{"below the new domain", at("proxy_configs.hosts", 4), "|odd.dr.apps.example.com|"},
		{"below the new domain", at("proxy_configs.content", 4), `{"proxy":{"endpoint":"http://odd.dr.apps.example.com","hosts":["odd.dr.apps.example.com"]}}`},
	})
	once := s.dump(t, db, tables)
	s.move(t, db, oldDomain, "dr."+oldDomain)
	assert.Equal(t, once, s.dump(t, db, tables), "twice is once")
}

// OLD ends with .NEW: all hosts are below NEW before anything is moved.
func testDomainAboveOld(t *testing.T, s *server) {
	db := s.database(t)
	s.move(t, db, oldDomain, "example.com")
	s.assertValues(t, db, []value{
		{"below the new domain", at("accounts.domain", 2), "3scale.example.com"},
		{"below the new domain", at("proxies.endpoint", 2), "https://api-3scale-apicast-production.example.com:443"},
		{"the end of a longer word", at("accounts.domain", 7), "foo.myapps.example.com"},
	})
	once := s.dump(t, db, tables)
	s.move(t, db, oldDomain, "example.com")
	assert.Equal(t, once, s.dump(t, db, tables), "twice is once")
}

func testDomainTaken(t *testing.T, s *server) {
	db := s.database(t)
	s.Run(t, db, "INSERT INTO accounts (id, domain) VALUES (20, '3scale.apps.dr.example.net');")
	s.assertRefused(t, db, s.script(t, "domain.sh", oldDomain, newDomain, "3scale"), "uplicate")
}

func testDomainTooLong(t *testing.T, s *server) {
	db := s.database(t)
	label := strings.Repeat("a", 60)
	to := strings.Join([]string{label, label, label, label}, ".")
	statements := s.script(t, "domain.sh", oldDomain, to, "3scale")
	if s.kind == "mysql" {
		statements = "SET SESSION sql_mode = '';\n" + statements // A server may be set up to cut what is too long.
	}
	s.assertRefused(t, db, statements, "too long")
}

// assertRefused runs statements that fail, and change nothing.
func (s *server) assertRefused(t *testing.T, database, statements, why string) {
	t.Helper()
	before := s.dump(t, database, tables)
	_, err := s.Try(database, statements)
	require.ErrorContains(t, err, why)
	assert.Equal(t, before, s.dump(t, database, tables), "nothing has changed")
}

func testInventory(t *testing.T, s *server) {
	db := s.database(t)
	s.move(t, db, oldDomain, newDomain)
	counted := s.Run(t, db, s.script(t, "inventory.sh", oldDomain))
	assert.Equal(t, []string{
		"accounts.domain 3", // custom domains that are like the old one
		"accounts.from_email 1",
		"accounts.s3_prefix 1",
		"accounts.self_domain 2",
		"api_docs_services.body 1",
		"backend_apis.private_endpoint 1",
		"cinstances.redirect_url 1",
		"proxies.endpoint 2",
		"proxies.oidc_issuer_endpoint 1",
		"proxies.production_domain 1",
		"proxies.sandbox_endpoint 2",
		"proxies.staging_domain 1",
		"proxy_configs.content 2",
		"proxy_configs.hosts 1",
		"services.support_email 1",
		"settings.sso_login_url 1",
		"users.email 1",
	}, strings.Split(strings.TrimSpace(strings.NewReplacer("\t", " ", "|", " ").Replace(counted)), "\n"))
}
