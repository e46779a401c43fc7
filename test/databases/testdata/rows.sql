-- Rows for both databases: master, tenants, buyers and products of apps.example.com.
INSERT INTO accounts (id, org_name, provider, master, domain, self_domain, s3_prefix, provider_account_id, from_email, tenant_id) VALUES
  (1, 'Master', false, true, 'master.apps.example.com', 'master.apps.example.com', NULL, 1, NULL, NULL),
  (2, 'Provider Name', true, NULL, '3scale.apps.example.com', '3scale-admin.apps.example.com', 'apps.example.com', 1, 'no-reply@apps.example.com', 2),
  (5, 'Own domain', true, NULL, 'developers.acme.org', 'acme-admin.apps.example.com', 'acme', 1, NULL, 5),
  (7, 'Suffix of a longer word', true, NULL, 'foo.myapps.example.com', 'foo-admin.myapps.example.com', 'foo', 1, NULL, 7),
  (8, 'Prefix of a longer name', true, NULL, 'bar.apps.example.com.evil.org', 'bar-admin.apps.example.community', 'bar', 1, NULL, 8),
  (9, 'Buyer', false, NULL, NULL, NULL, NULL, 2, NULL, 2),
  (10, 'The domain itself', true, NULL, 'apps.example.com', 'apex-admin.apps.example.com', 'apex', 1, NULL, 10);
INSERT INTO users (id, username, email, account_id) VALUES
  (1, 'admin', 'admin@3scale.apps.example.com', 2),
  (2, 'john', 'john@customer.com', 9),
  (3, 'nomail', NULL, 9),
  (4, 'empty', '', 9),
  (5, 'fixture', 'fixture@test.invalid', 9),
  (6, 'twice', 'twice@test.invalid.invalid', 9),
  (7, 'long', CONCAT(REPEAT('x', 242), '@customer.com'), 9),
  (8, 'jörg', 'jörg@customer.com', 9);
INSERT INTO services (id, account_id, system_name, support_email) VALUES
  (2, 2, 'api', NULL), (3, 2, 'oidc', NULL), (4, 5, 'acme', 'help@apps.example.com'), (5, 7, 'trap', NULL), (6, 2, 'odd', NULL);
INSERT INTO backend_apis (id, account_id, system_name, private_endpoint) VALUES (1, 2, 'echo', 'https://echo.apps.example.com:443');
INSERT INTO settings (id, account_id, sso_login_url) VALUES (1, 2, 'https://3scale-admin.apps.example.com/sso');
INSERT INTO cinstances (id, user_key, redirect_url) VALUES (1, 'k', 'https://client.apps.example.com/callback'), (2, 'l', NULL);
INSERT INTO api_docs_services (id, body, base_path) VALUES (1, '{"host":"api-3scale-apicast-production.apps.example.com"}', NULL);
INSERT INTO authentication_providers (id, account_id, system_name, site) VALUES (1, 2, 'keycloak', 'https://sso.elsewhere.org');
INSERT INTO proxies (id, service_id, endpoint, sandbox_endpoint, production_domain, staging_domain, oidc_issuer_endpoint) VALUES
  (2, 2, 'https://api-3scale-apicast-production.apps.example.com:443', 'https://api-3scale-apicast-staging.apps.example.com:443',
    'api-3scale-apicast-production.apps.example.com', 'api-3scale-apicast-staging.apps.example.com', NULL),
  (3, 3, 'https://oidc-3scale-apicast-production.apps.example.com:443', 'https://oidc-3scale-apicast-staging.apps.example.com:443',
    'oidc-3scale-apicast-production.apps.example.com', 'oidc-3scale-apicast-staging.apps.example.com', 'https://zync:secret@sso.apps.example.com:443/auth/realms/prod'),
  (4, 4, 'https://api.acme.org:443', 'https://acme-acme-apicast-staging.apps.example.com:443', 'api.acme.org', 'acme-acme-apicast-staging.apps.example.com', NULL),
  (5, 5, 'https://trap.myapps.example.com:443', 'https://trap-staging.apps.example.community:443', 'trap.myapps.example.com', 'trap-staging.apps.example.community', NULL),
  (6, 6, 'http://odd.apps.example.com', 'https://odd-staging.apps.example.com/to/other.apps.example.com/v1', 'odd.apps.example.com', 'odd-staging.apps.example.com', NULL),
  (7, NULL, 'https://api.acme.org/odd.apps.example.com/v1|', NULL, NULL, NULL, NULL);
INSERT INTO proxy_configs (id, proxy_id, version, environment, content, hosts) VALUES
  (1, 2, 1, 'sandbox', '{"id":2,"name":"API of \"apps.example.com\"","proxy":{"endpoint":"https://api-3scale-apicast-production.apps.example.com:443","sandbox_endpoint":"https://api-3scale-apicast-staging.apps.example.com/base","staging_domain":"api-3scale-apicast-staging.apps.example.com","production_domain":"api-3scale-apicast-production.apps.example.com","api_backend":"https://echo.apps.example.com:443","hosts":["api-3scale-apicast-production.apps.example.com","api-3scale-apicast-staging.apps.example.com"],"backend":{"endpoint":"https://backend-3scale.apps.example.com","host":"backend-3scale.apps.example.com"},"policy_chain":[{"name":"apicast.policy.upstream","configuration":{"rules":[{"url":"http://my-api-3scale-apicast-production.apps.example.com:80"},{"url":"http://oidc-3scale-apicast-production.apps.example.com/"},{"url":"http://api-3scale-apicast-production.apps.example.com.evil.org/"}]}}]}}',
    '|api-3scale-apicast-production.apps.example.com|api-3scale-apicast-staging.apps.example.com|'),
  (2, 4, 3, 'production', '{"proxy":{"endpoint":"https://api.acme.org:443","sandbox_endpoint":"https://acme-acme-apicast-staging.apps.example.com:443","hosts":["api.acme.org","acme-acme-apicast-staging.apps.example.com"],"backend":{"endpoint":"https://backend-3scale.apps.example.com:443","host":"backend-3scale.apps.example.com"}}}',
    '|api.acme.org|acme-acme-apicast-staging.apps.example.com|'),
  (3, 5, 1, 'production', '{"proxy":{"endpoint":"https://trap.myapps.example.com:443","hosts":["trap.myapps.example.com"],"backend":{"endpoint":"https://backend-3scale.myapps.example.com"}}}', '|trap.myapps.example.com|'),
  (4, 6, 1, 'production', '{"proxy":{"endpoint":"http://odd.apps.example.com","hosts":["odd.apps.example.com"]}}', '|odd.apps.example.com|'),
  (5, 6, 1, 'sandbox', '{"proxy":{"hosts":[],"backend":{"host":"backend-3scale.apps.example.com"}}}', NULL);
INSERT INTO web_hooks (id, account_id, url, active, application_created_on) VALUES
  (1, 2, 'https://crm.customer.com/hook', true, true), (2, 5, 'https://crm.acme.org/hook', false, true), (3, 7, NULL, NULL, NULL);
INSERT INTO billing_strategies (id, account_id, charging_enabled, type, currency, created_at) VALUES
  (1, 1, true, 'Finance::PostpaidBillingStrategy', 'USD', '2026-01-01 00:00:00'),
  (2, 2, true, 'Finance::PrepaidBillingStrategy', 'EUR', '2026-01-02 03:04:05'),
  (3, 5, NULL, 'Finance::PostpaidBillingStrategy', NULL, NULL);
UPDATE billing_strategies SET tenant_id = NULL WHERE id = 3; -- as before porta had the trigger
INSERT INTO payment_gateway_settings (id, account_id, gateway_type, gateway_settings) VALUES
  (1, 2, 'stripe', '---
:login: sk_live_ü
'), (2, 5, NULL, NULL), (3, 7, 'bogus', NULL);
INSERT INTO email_configurations (id, account_id, email, user_name, password, address, port, created_at, updated_at) VALUES
  (1, 5, 'x@acme.org', 'u', 'p', 'smtp.acme.org', 587, '2026-01-01 00:00:00', '2026-01-01 00:00:00'),
  (2, 7, 'y@foo.org', NULL, NULL, NULL, NULL, '2026-01-01 00:00:00', '2026-01-01 00:00:00');
UPDATE email_configurations SET tenant_id = NULL WHERE id = 2;
