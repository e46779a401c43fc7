-- Makes a copy of System's database quiet, for a rehearsal beside production:
-- no billing, no payments, no web hooks, no mail to users, no pushes to
-- identity providers. What it takes away, it keeps in tables quiet_*, which hold
-- credentials and addresses: they are as secret as the database itself.
-- undo-quiet.sql gives everything back.
--
-- When: on the restored copy, before the restore of the installation is applied:
-- the 3scale operator must not have started System on it. Never on production.
-- How:  psql -v ON_ERROR_STOP=1 -f quiet-postgresql.sql DATABASE
--
-- It is one transaction; run again, it fails and changes nothing. 3scale 2.11
-- has no table email_configurations: leave out what concerns it, here and in
-- undo-quiet.sql.
--
-- Tried: PostgreSQL 15 with porta's own tables, by the tests in test/databases.
-- Not tried: porta itself on the result.

\set ON_ERROR_STOP on
START TRANSACTION;
CREATE TABLE quiet_email_configurations     AS SELECT * FROM email_configurations;
CREATE TABLE quiet_billing_strategies       AS SELECT * FROM billing_strategies;
CREATE TABLE quiet_payment_gateway_settings AS SELECT id, gateway_type, gateway_settings FROM payment_gateway_settings
  WHERE gateway_type IS NOT NULL OR gateway_settings IS NOT NULL;
CREATE TABLE quiet_web_hooks                AS SELECT id FROM web_hooks WHERE active;
CREATE TABLE quiet_proxies                  AS SELECT id, oidc_issuer_endpoint FROM proxies WHERE oidc_issuer_endpoint IS NOT NULL;
CREATE TABLE quiet_users                    AS SELECT id, email FROM users WHERE email <> '' AND email NOT LIKE '%.invalid';
ALTER TABLE quiet_email_configurations     ADD PRIMARY KEY (id);
ALTER TABLE quiet_billing_strategies       ADD PRIMARY KEY (id);
ALTER TABLE quiet_payment_gateway_settings ADD PRIMARY KEY (id);
ALTER TABLE quiet_web_hooks                ADD PRIMARY KEY (id);
ALTER TABLE quiet_proxies                  ADD PRIMARY KEY (id);
ALTER TABLE quiet_users                    ADD PRIMARY KEY (id);

-- A tenant without a row here is not billed.
DELETE FROM billing_strategies;
-- Without a gateway no card is charged and no stored card is deleted at the provider.
UPDATE payment_gateway_settings SET gateway_type = NULL, gateway_settings = NULL WHERE id IN (SELECT id FROM quiet_payment_gateway_settings);
UPDATE web_hooks SET active = FALSE WHERE active;
-- Zync pushes applications to the identity provider that this column names.
-- APIcast goes on verifying tokens: it reads the promoted configurations.
UPDATE proxies SET oidc_issuer_endpoint = NULL WHERE oidc_issuer_endpoint IS NOT NULL;
-- A tenant's own SMTP server, which would be used in spite of the Secret system-smtp.
DELETE FROM email_configurations;
-- Top-level domain .invalid exists nowhere (RFC 2606). Log in by user name meanwhile.
UPDATE users SET email = CONCAT(LEFT(email, 247), '.invalid') WHERE id IN (SELECT id FROM quiet_users);
COMMIT;
