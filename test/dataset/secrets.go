package dataset

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"threescale.dev/backup/fn/threescale"
)

// SecretMarker starts every confidential value: passwords, tokens, keys, and
// the URLs that hold one, and the client_secret in ConfigMap system. A leak test
// looks for MarkerForms. backend-listener and system-memcache hold nothing
// confidential, and so no marker.
const SecretMarker = "s3cr3t-"

// The Secrets that the APIManager refers to.
const (
	certificateSecret   = "apicast-certificate"
	customEnvSecret     = "apicast-custom-environment"
	customPolicySecret  = "apicast-custom-policy"
	openTelemetrySecret = "apicast-opentelemetry"
	pullSecret          = "registry-pull"
	s3Secret            = "file-storage-s3"
)

// MarkerForms returns the marker as plain text and as it looks within base64,
// which depends on where it begins.
func MarkerForms() []string {
	forms := []string{SecretMarker}
	for offset := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00"[:offset] + SecretMarker))
		first := (offset*8 + 5) / 6 // characters that hold bits of what is before
		last := (offset + len(SecretMarker)) * 8 / 6
		forms = append(forms, encoded[first:last])
	}
	return forms
}

// secrets returns the 13 Secrets with the keys and defaults of the operator
// (component/system.go:429-543, 1319-1345, component/backend.go:525-559,
// component/zync.go:81-96, component/highavailability.go:22-74).
func (b builder) secrets() []map[string]any {
	apicast := b.secretValue("master-apicast")
	zync := cmp.Or(b.ZyncDatabaseURL, fmt.Sprintf("postgresql://zync:%s@zync-db.example.com:5432/zync_production", b.secretValue("zync-database")))
	return []map[string]any{
		b.secret("backend-internal-api", component("backend", ""), map[string]string{
			"username": "3scale_api_user", "password": b.secretValue("internal-api")}),
		b.secret("backend-listener", component("backend", ""), map[string]string{
			"service_endpoint": "http://backend-listener:3000", "route_endpoint": "https://" + b.host("backend-3scale")}),
		b.secret("backend-redis", nil, map[string]string{
			"REDIS_STORAGE_URL": cmp.Or(b.BackendStorageURL, b.redisURL("backend", 0)), "REDIS_QUEUES_URL": b.redisURL("backend", 1),
			"REDIS_STORAGE_SENTINEL_HOSTS": "", "REDIS_STORAGE_SENTINEL_ROLE": "",
			"REDIS_QUEUES_SENTINEL_HOSTS": "", "REDIS_QUEUES_SENTINEL_ROLE": ""}),
		b.secret("system-app", component("system", ""), map[string]string{
			"SECRET_KEY_BASE": b.secretValue("system-app") + b.hex("system-app-more", 48), "USER_SESSION_TTL": ""}),
		b.secret("system-database", nil, b.systemDatabase()),
		b.secret("system-events-hook", component("system", ""), map[string]string{
			"URL": "http://system-master:3000/master/events/import", "PASSWORD": b.secretValue("events-hook")}),
		b.secret("system-master-apicast", component("system", ""), map[string]string{
			"ACCESS_TOKEN":           apicast,
			"PROXY_CONFIGS_ENDPOINT": fmt.Sprintf("http://%s@system-master:3000/master/api/proxy/configs", apicast)}),
		b.secret("system-memcache", component("system", ""), map[string]string{"SERVERS": "system-memcache:11211"}),
		b.secret("system-recaptcha", component("system", ""), map[string]string{
			"PUBLIC_KEY": b.secretValue("recaptcha-public"), "PRIVATE_KEY": b.secretValue("recaptcha-private")}),
		b.secret("system-redis", nil, map[string]string{
			"URL": cmp.Or(b.SystemRedisURL, b.redisURL("system", 1)), "SENTINEL_HOSTS": "", "SENTINEL_ROLE": ""}),
		b.secret("system-seed", component("system", ""), b.seed()),
		b.secret("system-smtp", component("system", "smtp"), map[string]string{
			"address": "smtp.example.com", "authentication": "login", "domain": "example.com", "from_address": "no-reply@example.com",
			"openssl.verify.mode": "peer", "password": b.secretValue("smtp"), "port": "587", "username": "3scale-mailer"}),
		b.secret("zync", component("zync", ""), map[string]string{
			"DATABASE_URL":           zync,
			"SECRET_KEY_BASE":        b.secretValue("zync"),
			"ZYNC_DATABASE_PASSWORD": passwordOf(zync), "ZYNC_AUTHENTICATION_TOKEN": b.secretValue("zync-token")}),
	}
}

// systemDatabase is the Secret that the user of an external MySQL writes; the
// operator reads the URL only (operator/highavailability_options_provider.go).
func (b builder) systemDatabase() map[string]string {
	address := cmp.Or(b.SystemDatabaseURL, fmt.Sprintf("mysql2://threescale:%s@mysql.example.com:3306/system", b.secretValue("system-database")))
	return map[string]string{
		"URL":         address,
		"DB_USER":     "threescale",
		"DB_PASSWORD": passwordOf(address),
	}
}

// passwordOf is the password in the URL of a database; "" without one.
func passwordOf(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	password, _ := parsed.User.Password()
	return password
}

func (b builder) seed() map[string]string {
	return map[string]string{
		"ADMIN_ACCESS_TOKEN":  b.secretValue("admin-token"),
		"ADMIN_EMAIL":         "admin@example.com",
		"ADMIN_PASSWORD":      b.secretValue("admin"),
		"ADMIN_USER":          "admin",
		"MASTER_ACCESS_TOKEN": b.secretValue("master-token"),
		"MASTER_DOMAIN":       "master",
		"MASTER_PASSWORD":     b.secretValue("master"),
		"MASTER_USER":         "master",
		"TENANT_NAME":         "3scale",
	}
}

// referencedSecrets returns the Secrets that apiManagerSpec names, and one that
// it does not name.
func (b builder) referencedSecrets() []map[string]any {
	watched := map[string]any{threescale.LabelWatchedBy: "apimanager"}
	certificate := b.secret(certificateSecret, watched, map[string]string{
		"tls.crt": pem("CERTIFICATE", b.bytes("certificate", 640)),
		"tls.key": b.secretValue("certificate") + "\n" + pem("PRIVATE KEY", b.bytes("key", 600))})
	certificate["type"] = "kubernetes.io/tls"
	registry := b.secret(pullSecret, nil, map[string]string{".dockerconfigjson": b.dockerConfig()})
	registry["type"] = "kubernetes.io/dockerconfigjson"
	secrets := []map[string]any{
		certificate,
		registry,
		b.secret(customPolicySecret, watched, map[string]string{
			"init.lua":            "return require('example_header')\n",
			"example_header.lua":  fmt.Sprintf("local token = %q\nlocal _M = require('apicast.policy').new('Example header', '0.1')\nreturn _M\n", b.secretValue("policy")),
			"apicast-policy.json": `{"$schema":"http://apicast.io/policy-v1/schema#manifest#","name":"Example header","version":"0.1","configuration":{"type":"object","properties":{}}}`}),
		b.secret(customEnvSecret, watched, map[string]string{
			"environment.lua": fmt.Sprintf("return { upstream_token = %q }\n", b.secretValue("environment"))}),
		b.secret(openTelemetrySecret, watched, map[string]string{
			"config.json": fmt.Sprintf("exporter = \"otlp\"\n[exporters.otlp]\nhost = \"collector.example.com\"\ntoken = %q\n", b.secretValue("otel"))}),
		b.secret(somebodyElses, nil, map[string]string{"token": b.secretValue("foreign")}),
	}
	if b.S3 {
		secrets = append(secrets, b.secret(s3Secret, nil, map[string]string{
			"AWS_ACCESS_KEY_ID": b.secretValue("aws-id"), "AWS_SECRET_ACCESS_KEY": b.secretValue("aws-key"),
			"AWS_BUCKET": "3scale-files", "AWS_REGION": "eu-example-1"}))
	}
	return secrets
}

// secret returns a Secret; one whose labels are nil is the user's own.
func (b builder) secret(name string, labels map[string]any, values map[string]string) map[string]any {
	secret := b.object("v1", threescale.KindSecret, name, labels)
	secret["type"] = "Opaque"
	data := map[string]any{}
	for key, value := range values {
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	secret["data"] = data
	return secret
}

func (b builder) redisURL(owner string, database int) string {
	return fmt.Sprintf("redis://:%s@redis.example.com:6379/%d", b.secretValue(owner+"-redis"), database)
}

func (b builder) dockerConfig() string {
	password := b.secretValue("registry")
	// Maps of strings always encode.
	config, _ := json.Marshal(map[string]any{"auths": map[string]any{"registry.example.com": map[string]string{
		"username": "puller",
		"password": password,
		"auth":     base64.StdEncoding.EncodeToString([]byte("puller:" + password)),
	}}})
	return string(config)
}

// pem frames bytes as a PEM block. They are no certificate and no key.
func pem(title string, content []byte) string {
	encoded := base64.StdEncoding.EncodeToString(content)
	var block strings.Builder
	fmt.Fprintf(&block, "-----BEGIN %s-----\n", title)
	for len(encoded) > 64 {
		block.WriteString(encoded[:64] + "\n")
		encoded = encoded[64:]
	}
	return block.String() + encoded + fmt.Sprintf("\n-----END %s-----\n", title)
}
