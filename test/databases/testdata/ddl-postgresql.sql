-- Fourteen tables of porta's System database for PostgreSQL, as
-- db/postgres_schema.rb has them in 3scale/porta at commit
-- ecd60bd31d3e6b1ad300a2723d6f3ca1e80e753e: the columns that the statements in
-- examples/restore/databases read or write, the keys and unique indexes on them,
-- and two of the triggers that porta adds (lib/system/database/postgres/trigger.rb
-- and lib/system/database/definitions/postgres.rb).
CREATE TABLE accounts (
  id bigserial PRIMARY KEY,
  org_name varchar(255) NOT NULL DEFAULT '',
  provider boolean DEFAULT false,
  provider_account_id bigint,
  domain varchar(255),
  master boolean,
  from_email varchar(255),
  tenant_id bigint,
  self_domain varchar(255),
  s3_prefix varchar(255)
);
CREATE UNIQUE INDEX index_accounts_on_domain ON accounts (domain);
CREATE UNIQUE INDEX index_accounts_on_master ON accounts (master);
CREATE UNIQUE INDEX index_accounts_on_self_domain ON accounts (self_domain);
CREATE TABLE api_docs_services (
  id bigserial PRIMARY KEY,
  body text,
  base_path varchar(255)
);
CREATE TABLE authentication_providers (
  id bigserial PRIMARY KEY,
  system_name varchar(255),
  site varchar(255),
  account_id bigint
);
CREATE UNIQUE INDEX index_authentication_providers_on_account_id_and_system_name ON authentication_providers (account_id, system_name);
CREATE TABLE backend_apis (
  id bigserial PRIMARY KEY,
  system_name varchar(255) NOT NULL,
  private_endpoint varchar(255),
  account_id bigint
);
CREATE UNIQUE INDEX index_backend_apis_on_account_id_and_system_name ON backend_apis (account_id, system_name);
CREATE TABLE billing_strategies (
  id bigserial PRIMARY KEY,
  account_id bigint,
  prepaid boolean DEFAULT false,
  charging_enabled boolean DEFAULT false,
  charging_retry_delay int DEFAULT 3,
  charging_retry_times int DEFAULT 3,
  created_at timestamp,
  updated_at timestamp,
  numbering_period varchar(255) DEFAULT 'monthly',
  currency varchar(255) DEFAULT 'USD',
  tenant_id bigint,
  type varchar(255)
);
CREATE TABLE cinstances (
  id bigserial PRIMARY KEY,
  user_key varchar(256),
  redirect_url text
);
CREATE TABLE email_configurations (
  id bigserial PRIMARY KEY,
  account_id int,
  email varchar(255) NOT NULL,
  domain varchar(255),
  user_name varchar(255),
  password varchar(255),
  authentication varchar(255),
  tls varchar(255),
  openssl_verify_mode varchar(255),
  address varchar(255),
  port int,
  tenant_id bigint,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL
);
CREATE UNIQUE INDEX index_email_configurations_on_email ON email_configurations (email);
CREATE TABLE payment_gateway_settings (
  id bigserial PRIMARY KEY,
  gateway_settings bytea,
  gateway_type varchar(255),
  account_id bigint
);
CREATE TABLE proxies (
  id bigserial PRIMARY KEY,
  service_id bigint,
  endpoint varchar(255),
  sandbox_endpoint varchar(255),
  oidc_issuer_endpoint varchar(255),
  staging_domain varchar(255),
  production_domain varchar(255)
);
CREATE TABLE proxy_configs (
  id bigserial PRIMARY KEY,
  proxy_id bigint NOT NULL,
  version int NOT NULL DEFAULT 0,
  environment varchar(255) NOT NULL,
  content text NOT NULL,
  hosts varchar(8192)
);
CREATE TABLE services (
  id bigserial PRIMARY KEY,
  account_id bigint NOT NULL,
  system_name varchar(255) NOT NULL,
  support_email varchar(255)
);
CREATE UNIQUE INDEX index_services_on_system_name_and_account_id_and_deleted_at ON services (system_name, account_id);
CREATE TABLE settings (
  id bigserial PRIMARY KEY,
  account_id bigint,
  sso_login_url varchar(255)
);
CREATE UNIQUE INDEX index_settings_on_account_id ON settings (account_id);
CREATE TABLE users (
  id bigserial PRIMARY KEY,
  username varchar(40),
  email varchar(255),
  account_id bigint
);
CREATE TABLE web_hooks (
  id bigserial PRIMARY KEY,
  account_id bigint,
  url varchar(255),
  application_created_on boolean DEFAULT false,
  active boolean DEFAULT false
);
ALTER TABLE proxy_configs ADD FOREIGN KEY (proxy_id) REFERENCES proxies (id) ON DELETE CASCADE;
CREATE FUNCTION tenant_id_of_account() RETURNS trigger AS $$
DECLARE
  master_id numeric;
BEGIN
  BEGIN
    SELECT id INTO STRICT master_id FROM accounts WHERE master = TRUE;
  EXCEPTION
    WHEN NO_DATA_FOUND THEN
      master_id := NULL;
  END;
  IF NEW.tenant_id IS NULL THEN
    IF NEW.account_id <> master_id THEN
      NEW.tenant_id := NEW.account_id;
    END IF;
  END IF;
  RETURN NEW;
END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER billing_strategies_tenant_id BEFORE INSERT ON billing_strategies FOR EACH ROW EXECUTE PROCEDURE tenant_id_of_account();
CREATE TRIGGER email_configurations_tenant_id BEFORE INSERT ON email_configurations FOR EACH ROW EXECUTE PROCEDURE tenant_id_of_account();
