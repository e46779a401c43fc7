-- Fourteen tables of porta's System database for MySQL, as db/schema.rb has them
-- in 3scale/porta at commit ecd60bd31d3e6b1ad300a2723d6f3ca1e80e753e: the columns
-- that the statements in examples/restore/databases read or write, the keys and
-- unique indexes on them, and two of the triggers that porta adds
-- (lib/system/database/mysql/trigger.rb and lib/system/database/definitions/mysql.rb).
CREATE TABLE accounts (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  org_name varchar(255) NOT NULL DEFAULT '',
  provider tinyint(1) DEFAULT 0,
  provider_account_id bigint,
  domain varchar(255),
  master tinyint(1),
  from_email varchar(255),
  tenant_id bigint,
  self_domain varchar(255),
  s3_prefix varchar(255)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE UNIQUE INDEX index_accounts_on_domain ON accounts (domain);
CREATE UNIQUE INDEX index_accounts_on_master ON accounts (master);
CREATE UNIQUE INDEX index_accounts_on_self_domain ON accounts (self_domain);
CREATE TABLE api_docs_services (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  body longtext,
  base_path varchar(255)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE TABLE authentication_providers (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  system_name varchar(255),
  site varchar(255),
  account_id bigint
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE UNIQUE INDEX index_authentication_providers_on_account_id_and_system_name ON authentication_providers (account_id, system_name);
CREATE TABLE backend_apis (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  system_name varchar(255) NOT NULL,
  private_endpoint varchar(255),
  account_id bigint
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE UNIQUE INDEX index_backend_apis_on_account_id_and_system_name ON backend_apis (account_id, system_name);
CREATE TABLE billing_strategies (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account_id bigint,
  prepaid tinyint(1) DEFAULT 0,
  charging_enabled tinyint(1) DEFAULT 0,
  charging_retry_delay int DEFAULT 3,
  charging_retry_times int DEFAULT 3,
  created_at datetime,
  updated_at datetime,
  numbering_period varchar(255) DEFAULT 'monthly',
  currency varchar(255) DEFAULT 'USD',
  tenant_id bigint,
  type varchar(255)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE TABLE cinstances (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user_key varchar(256),
  redirect_url text
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE TABLE email_configurations (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account_id int,
  email varchar(255) COLLATE utf8mb3_general_ci NOT NULL,
  domain varchar(255) COLLATE utf8mb3_general_ci,
  user_name varchar(255),
  password varchar(255),
  authentication varchar(255),
  tls varchar(255),
  openssl_verify_mode varchar(255),
  address varchar(255) COLLATE utf8mb3_general_ci,
  port smallint unsigned,
  tenant_id bigint,
  created_at datetime NOT NULL,
  updated_at datetime NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE UNIQUE INDEX index_email_configurations_on_email ON email_configurations (email);
CREATE TABLE payment_gateway_settings (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  gateway_settings blob,
  gateway_type varchar(255),
  account_id bigint
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE TABLE proxies (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  service_id bigint,
  endpoint varchar(255),
  sandbox_endpoint varchar(255),
  oidc_issuer_endpoint varchar(255),
  staging_domain varchar(255),
  production_domain varchar(255)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE TABLE proxy_configs (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  proxy_id bigint NOT NULL,
  version int NOT NULL DEFAULT 0,
  environment varchar(255) NOT NULL,
  content mediumtext NOT NULL,
  hosts varchar(8192)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE TABLE services (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account_id bigint NOT NULL,
  system_name varchar(255) NOT NULL,
  support_email varchar(255)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE UNIQUE INDEX index_services_on_system_name_and_account_id_and_deleted_at ON services (system_name, account_id);
CREATE TABLE settings (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account_id bigint,
  sso_login_url varchar(255)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE UNIQUE INDEX index_settings_on_account_id ON settings (account_id);
CREATE TABLE users (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  username varchar(40),
  email varchar(255),
  account_id bigint
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
CREATE TABLE web_hooks (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account_id bigint,
  url varchar(255),
  application_created_on tinyint(1) DEFAULT 0,
  active tinyint(1) DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin;
ALTER TABLE proxy_configs ADD FOREIGN KEY (proxy_id) REFERENCES proxies (id) ON DELETE CASCADE;
DELIMITER //
CREATE TRIGGER billing_strategies_tenant_id BEFORE INSERT ON billing_strategies FOR EACH ROW
BEGIN
  DECLARE master_id numeric;
  IF @disable_triggers IS NULL THEN
    IF NEW.tenant_id IS NULL THEN
      SET master_id = (SELECT id FROM accounts WHERE master);
      IF NEW.account_id <> master_id THEN
        SET NEW.tenant_id = NEW.account_id;
      END IF;
    END IF;
  END IF;
END //
CREATE TRIGGER email_configurations_tenant_id BEFORE INSERT ON email_configurations FOR EACH ROW
BEGIN
  DECLARE master_id numeric;
  IF @disable_triggers IS NULL THEN
    IF NEW.tenant_id IS NULL THEN
      SET master_id = (SELECT id FROM accounts WHERE master);
      IF NEW.account_id <> master_id THEN
        SET NEW.tenant_id = NEW.account_id;
      END IF;
    END IF;
  END IF;
END //
DELIMITER ;
-- For the rows that follow: a backslash is a backslash, as in PostgreSQL.
SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',NO_BACKSLASH_ESCAPES');
