package operator

import (
	"crypto/rand"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const apicastEnvironment = "apicast-environment"

// secrets returns the Secrets that the operator makes with the keys that it
// makes sure of, and the values that it draws for those that are missing
// (system_options_provider.go, backend_options_provider.go,
// zync_options_provider.go). Those of external databases are the user's.
func (s *Operator) secrets(apiManager *unstructured.Unstructured) []*corev1.Secret {
	domain, _, _ := unstructured.NestedString(apiManager.Object, "spec", "wildcardDomain")
	tenant, _, _ := unstructured.NestedString(apiManager.Object, "spec", "tenantName")
	token := rand.Text()
	return []*corev1.Secret{
		s.secret("backend-internal-api", "backend", map[string]string{"username": "3scale_api_user", "password": rand.Text()}),
		s.secret("backend-listener", "backend", map[string]string{
			"service_endpoint": "http://backend-listener:3000", "route_endpoint": fmt.Sprintf("https://backend-%s.%s", tenant, domain),
		}),
		s.secret("system-app", "system", map[string]string{"SECRET_KEY_BASE": rand.Text(), "USER_SESSION_TTL": ""}),
		s.secret("system-events-hook", "system", map[string]string{
			"URL": "http://system-master:3000/master/events/import", "PASSWORD": rand.Text(),
		}),
		s.secret("system-master-apicast", "system", map[string]string{
			"ACCESS_TOKEN": token, "PROXY_CONFIGS_ENDPOINT": fmt.Sprintf("http://%s@system-master:3000/master/api/proxy/configs", token),
		}),
		s.secret("system-memcache", "system", map[string]string{"SERVERS": "system-memcache:11211"}),
		s.secret("system-recaptcha", "system", map[string]string{"PUBLIC_KEY": "", "PRIVATE_KEY": ""}),
		s.secret("system-seed", "system", map[string]string{
			"MASTER_DOMAIN": "master", "MASTER_USER": "master", "MASTER_PASSWORD": rand.Text(), "MASTER_ACCESS_TOKEN": rand.Text(),
			"ADMIN_USER": "admin", "ADMIN_PASSWORD": rand.Text(), "ADMIN_ACCESS_TOKEN": rand.Text(), "ADMIN_EMAIL": "",
			"TENANT_NAME": tenant,
		}),
		s.secret("system-smtp", "system", map[string]string{
			"address": "", "authentication": "", "domain": "", "from_address": "",
			"openssl.verify.mode": "", "password": "", "port": "", "username": "",
		}),
		s.secret("zync", "zync", map[string]string{
			"SECRET_KEY_BASE": rand.Text(), "ZYNC_AUTHENTICATION_TOKEN": rand.Text(), "ZYNC_DATABASE_PASSWORD": rand.Text(),
		}),
	}
}

func (s *Operator) secret(name, component string, values map[string]string) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: s.meta(name, component, ""), Data: map[string][]byte{}}
	for key, value := range values {
		secret.Data[key] = []byte(value)
	}
	return secret
}
