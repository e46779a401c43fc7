-- Gives back what quiet-mysql.sql or quiet-postgresql.sql took, and drops the
-- tables quiet_*. From here on the copy bills, charges, mails and calls web hooks.
--
-- When: only if the copy takes production's place and production is stopped. Scale
-- system-app and system-sidekiq to 0 before, and empty System's Redis: what was
-- queued during the rehearsal would run.
-- How:  mysql DATABASE < undo-quiet.sql       (without --force)
--       psql -v ON_ERROR_STOP=1 -f undo-quiet.sql DATABASE
--
-- Run it with the 3scale version that the copy was made quiet with. What was
-- taken wins over what was entered since; only an address that a user changed
-- since stays as it is. Without the tables quiet_* it fails and changes nothing.
--
-- Tried: MariaDB 10.11 and PostgreSQL 15 with porta's own tables, by the tests in
-- test/databases. Not tried: MySQL 8, porta itself on the result.

START TRANSACTION;
-- Porta's triggers fill an empty tenant_id of a new row: hence the second UPDATE of each.
DELETE FROM billing_strategies WHERE id IN (SELECT id FROM quiet_billing_strategies) OR account_id IN (SELECT account_id FROM quiet_billing_strategies);
INSERT INTO billing_strategies SELECT * FROM quiet_billing_strategies;
UPDATE billing_strategies SET tenant_id = (SELECT q.tenant_id FROM quiet_billing_strategies q WHERE q.id = billing_strategies.id)
  WHERE id IN (SELECT id FROM quiet_billing_strategies);

DELETE FROM email_configurations WHERE id IN (SELECT id FROM quiet_email_configurations) OR email IN (SELECT email FROM quiet_email_configurations);
INSERT INTO email_configurations SELECT * FROM quiet_email_configurations;
UPDATE email_configurations SET tenant_id = (SELECT q.tenant_id FROM quiet_email_configurations q WHERE q.id = email_configurations.id)
  WHERE id IN (SELECT id FROM quiet_email_configurations);

UPDATE payment_gateway_settings SET
  gateway_type = (SELECT q.gateway_type FROM quiet_payment_gateway_settings q WHERE q.id = payment_gateway_settings.id),
  gateway_settings = (SELECT q.gateway_settings FROM quiet_payment_gateway_settings q WHERE q.id = payment_gateway_settings.id)
  WHERE id IN (SELECT id FROM quiet_payment_gateway_settings);
UPDATE web_hooks SET active = TRUE WHERE id IN (SELECT id FROM quiet_web_hooks);
UPDATE proxies SET oidc_issuer_endpoint = (SELECT q.oidc_issuer_endpoint FROM quiet_proxies q WHERE q.id = proxies.id)
  WHERE id IN (SELECT id FROM quiet_proxies);
UPDATE users SET email = (SELECT q.email FROM quiet_users q WHERE q.id = users.id)
  WHERE EXISTS (SELECT 1 FROM quiet_users q WHERE q.id = users.id AND users.email = CONCAT(LEFT(q.email, 247), '.invalid'));

-- In one statement and before COMMIT, so that no failure drops them: MySQL commits here, PostgreSQL below.
DROP TABLE quiet_billing_strategies, quiet_email_configurations, quiet_payment_gateway_settings, quiet_proxies, quiet_users, quiet_web_hooks;
COMMIT;
