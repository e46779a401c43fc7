package databases

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (s *server) quiet(t *testing.T) string { return read(t, shipped+"quiet-"+s.kind+".sql") }

func undo(t *testing.T) string { return read(t, shipped+"undo-quiet.sql") }

func testQuiet(t *testing.T, s *server) {
	db := s.database(t)
	others := []string{"accounts", "api_docs_services", "authentication_providers", "backend_apis", "cinstances", "proxy_configs", "services", "settings"}
	rest := s.dump(t, db, others)
	s.Run(t, db, s.quiet(t))
	s.assertValues(t, db, []value{
		{"nobody is billed", "SELECT COUNT(*) FROM billing_strategies", "0"},
		{"no card is charged", "SELECT COUNT(*) FROM payment_gateway_settings WHERE gateway_type IS NOT NULL OR gateway_settings IS NOT NULL", "0"},
		{"the tenants' rows stay", "SELECT COUNT(*) FROM payment_gateway_settings", "3"},
		{"no web hook is called", "SELECT COUNT(*) FROM web_hooks WHERE active", "0"},
		{"where to is still shown", at("web_hooks.url", 1), "https://crm.customer.com/hook"},
		{"no identity provider is pushed to", "SELECT COUNT(*) FROM proxies WHERE oidc_issuer_endpoint IS NOT NULL", "0"},
		{"the products stay", "SELECT COUNT(*) FROM proxies", "6"},
		{"no tenant's SMTP server", "SELECT COUNT(*) FROM email_configurations", "0"},
		{"no address leads anywhere", "SELECT COUNT(*) FROM users WHERE email <> '' AND email NOT LIKE '%.invalid'", "0"},
		{"who it was can be seen", at("users.email", 2), "john@customer.com.invalid"},
		{"no address", at("users.email", 3), "NULL"},
		{"no address", at("users.email", 4), ""},
		{"it was one before", at("users.email", 5), "fixture@test.invalid"},
		{"no room for more: the end is what counts", at("users.email", 7), strings.Repeat("x", 242) + "@cust.invalid"},
		{"other than ASCII", at("users.email", 8), "jörg@customer.com.invalid"},
	})
	assert.Equal(t, rest, s.dump(t, db, others), "nothing else is changed")
}

func testQuietAgain(t *testing.T, s *server) {
	db := s.database(t)
	s.Run(t, db, s.quiet(t))
	s.Run(t, db, "INSERT INTO users (id, email) VALUES (20, 'new@customer.com');")
	s.assertRefused(t, db, s.quiet(t), "exists")
}

// As with a version of 3scale that is too old.
func testQuietWithoutATable(t *testing.T, s *server) {
	db := s.database(t)
	s.Run(t, db, "ALTER TABLE email_configurations RENAME TO other;")
	before := s.dump(t, db, []string{"billing_strategies", "users"})
	_, err := s.Try(db, s.quiet(t))
	require.ErrorContains(t, err, "email_configurations")
	assert.Equal(t, before, s.dump(t, db, []string{"billing_strategies", "users"}))
	s.Run(t, db, "ALTER TABLE other RENAME TO email_configurations;")
	s.Run(t, db, s.quiet(t)) // Nothing has been left that is in the way.
}

func testUndo(t *testing.T, s *server) {
	db := s.database(t)
	before := s.dump(t, db, tables)
	s.Run(t, db, s.quiet(t))
	assert.NotEqual(t, before, s.dump(t, db, tables))
	s.Run(t, db, undo(t))
	assert.Equal(t, before, s.dump(t, db, tables), "the same bytes, and addresses that ended in .invalid before")
	s.assertValues(t, db, []value{{"nothing is left", "SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE 'quiet%' AND '" + db + "' IN (table_schema, table_catalog)", "0"}})
	s.assertRefused(t, db, undo(t), "quiet_billing_strategies")
	s.Run(t, db, s.quiet(t)+undo(t)) // It can be made quiet again.
	assert.Equal(t, before, s.dump(t, db, tables))
}

func testUndoAfterUse(t *testing.T, s *server) {
	db := s.database(t)
	s.Run(t, db, s.quiet(t))
	s.Run(t, db, `
INSERT INTO billing_strategies (id, account_id, type) VALUES (20, 2, 'Finance::PostpaidBillingStrategy'), (21, 8, 'Finance::PostpaidBillingStrategy');
INSERT INTO email_configurations (id, account_id, email, created_at, updated_at) VALUES (20, 7, 'x@acme.org', '2026-01-01', '2026-01-01');
INSERT INTO users (id, email) VALUES (20, 'new@customer.com'), (21, 'new@test.invalid');
UPDATE users SET email = 'other@customer.com' WHERE id = 2;
UPDATE payment_gateway_settings SET gateway_type = 'bogus' WHERE id IN (1, 2);
DELETE FROM web_hooks WHERE id = 1;
`)
	s.Run(t, db, undo(t))
	s.assertValues(t, db, []value{
		{"a tenant is billed once, as before", "SELECT id FROM billing_strategies WHERE account_id = 2", "2"},
		{"it was entered since", at("billing_strategies.account_id", 21), "8"},
		{"the one from before", "SELECT account_id FROM email_configurations WHERE email = 'x@acme.org'", "5"},
		{"the user has changed it since", at("users.email", 2), "other@customer.com"},
		{"a new user", at("users.email", 20), "new@customer.com"},
		{"a new user's own", at("users.email", 21), "new@test.invalid"},
		{"the gateway from before", at("payment_gateway_settings.gateway_type", 1), "stripe"},
		{"there was none before", at("payment_gateway_settings.gateway_type", 2), "bogus"},
		{"deleted since", "SELECT COUNT(*) FROM web_hooks WHERE id = 1", "0"},
	})
}

// What was taken is dropped only once it is given back, even by a client that
// goes on after an error, as psql does if it is not told otherwise.
func testUndoFails(t *testing.T, s *server) {
	db := s.database(t)
	s.Run(t, db, s.quiet(t))
	s.Run(t, db, "ALTER TABLE users RENAME TO other;")
	quiet := []string{"quiet_billing_strategies", "quiet_email_configurations", "quiet_payment_gateway_settings", "quiet_proxies", "quiet_users", "quiet_web_hooks"}
	taken := s.dump(t, db, quiet)
	careless := *s.Server
	if s.kind == "postgresql" {
		careless.Admin = append(slices.Clip(careless.Admin), "--variable=ON_ERROR_STOP=0")
	}
	_, err := careless.Try(db, undo(t))
	if s.kind == "mysql" {
		require.ErrorContains(t, err, "users")
	}
	assert.Equal(t, taken, s.dump(t, db, quiet))
	s.assertValues(t, db, []value{{"still quiet", "SELECT COUNT(*) FROM billing_strategies", "0"}})
}

// A rehearsal beside production has another domain too; the order is the user's.
func testQuietThenDomain(t *testing.T, s *server) {
	db := s.database(t)
	s.Run(t, db, s.quiet(t))
	s.move(t, db, oldDomain, newDomain)
	s.Run(t, db, undo(t))
	s.assertValues(t, db, moved)
}
