package threescale

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// KindSecret is the kind of the objects that Secrets lists.
	KindSecret = "Secret"
	// KindConfigMap is the kind of the objects that ConfigMaps lists.
	KindConfigMap = "ConfigMap"
	// KindPVC is the kind of FileStoragePVCName.
	KindPVC = "PersistentVolumeClaim"

	// MailSecret is the Secret of the account by which System sends mail.
	MailSecret = "system-smtp"
)

// Member is a Secret or ConfigMap that belongs to a 3scale installation under
// a fixed name.
type Member struct {
	// Kind is KindSecret or KindConfigMap.
	Kind string
	// Name is the name that the operator looks for; it cannot be configured.
	Name string
	// Required means that a backup without the object could not bring the
	// installation back as it was. An object that is not required may be missing:
	// the operator writes it again with the same content.
	Required bool
}

// Secrets returns the 13 Secrets that the operator's own backup holds
// (pkg/backup/apimanager_backup.go:23-37), sorted by name.
//
// In every version from 0.5.0 to 0.13.0 the pods refer to all of them without
// `optional`, so in a healthy installation all exist: whatever is absent, the
// operator writes again at its next reconcile with the defaults that
// system_options_provider.go:153-393, backend_options_provider.go:73-113 and
// zync_options_provider.go:75-170 give. Required is therefore judged by whether
// those defaults are as good as what was there: those of what the user supplied
// or the operator drew at random are not.
//
// The APIManager decides about zync only: with spec.zync.enabled false the
// operator deletes that Secret (operator/zync_reconciler.go:296-302). It may be nil.
func Secrets(apiManager *unstructured.Unstructured) []Member {
	return []Member{
		// The random password by which System and Backend trust each other.
		{KindSecret, "backend-internal-api", true},
		// The public address of the backend; one that differs from the wildcard
		// domain is written nowhere else.
		{KindSecret, "backend-listener", true},
		// The addresses and credentials of the backend's Redis, which the operator
		// does not start without.
		{KindSecret, "backend-redis", true},
		// SECRET_KEY_BASE, the random key by which System signs and encrypts; another
		// one makes all that unusable.
		{KindSecret, "system-app", true},
		// The address and credentials of the system database, which the operator does
		// not start without.
		{KindSecret, "system-database", true},
		// The random password by which Backend reports events to System.
		{KindSecret, "system-events-hook", true},
		// The access token of APIcast, which the system database knows too.
		{KindSecret, "system-master-apicast", true},
		// Only the in-cluster address of memcached, which the operator writes again;
		// its own restore skips it.
		{KindSecret, "system-memcache", false},
		// The keys of the spam protection, which is off by default: the operator
		// writes empty ones again.
		{KindSecret, "system-recaptcha", false},
		// The address and credentials of System's Redis, which the operator does not
		// start without.
		{KindSecret, "system-redis", true},
		// The passwords and access tokens of the master and the first tenant, which
		// the system database knows too.
		{KindSecret, "system-seed", true},
		// The mail account, which only the user knows: the operator would write empty
		// fields.
		{KindSecret, MailSecret, true},
		// The key and the token of zync, and the address of its database when that is
		// external.
		{KindSecret, "zync", ZyncIsEnabled(apiManager)},
	}
}

// SystemConfig is the ConfigMap with System's configuration files:
// service_discovery.yml, rolling_updates.yml and zync.yml.
const SystemConfig = "system"

// ConfigMaps returns the ConfigMaps of an installation, sorted by name: the 2
// that the operator's own backup holds (pkg/backup/apimanager_backup.go:39-42),
// and SystemConfig, which users edit and which goes with the APIManager.
func ConfigMaps() []Member {
	return []Member{
		// Three keys that the operator writes from the APIManager at each reconcile
		// (operator/apicast_reconciler.go:22-47).
		{KindConfigMap, ApicastEnvironment, false},
		// Created once with the operator's defaults and then the user's to edit; of
		// what is there only the endpoint in zync.yml is ever corrected
		// (system_reconciler.go:97, 541-586). The operator writes the defaults again,
		// and an installation that never had a user's edit needs no more than those.
		{KindConfigMap, SystemConfig, false},
		// Created once and never corrected (system_reconciler.go:103:
		// CreateOnlyMutator), so that what the user changed is written nowhere else.
		{KindConfigMap, "system-environment", true},
	}
}

// IsSensitive reports whether the values of an object may be confidential: those
// of every Secret, and of ConfigMap SystemConfig, whose service_discovery.yml may
// hold the client_secret of an OAuth client. Such an object is committed only
// when it is encrypted, and none of its values is ever shown.
func IsSensitive(kind, name string) bool {
	return kind == KindSecret || kind == KindConfigMap && name == SystemConfig
}

// IsRewritten reports whether the operator changes values of an object after
// somebody else wrote it: keys of ApicastEnvironment, and in newer versions the
// endpoint of zync in SystemConfig.
func IsRewritten(kind, name string) bool {
	return kind == KindConfigMap && (name == ApicastEnvironment || name == SystemConfig)
}

// DatabaseSecrets returns the names of the Secrets that point to the external
// databases, sorted. The operator's restore leaves the first three to the user
// (pkg/restore/apimanager_restore.go:35-49), since a restored installation may
// use other databases. It restores zync, and with it the address of a Zync
// database outside the installation: a copy would then take jobs out of the
// original's queue. So zync is listed where its database is external.
//
// zync also holds a key and a token. The operator draws both again when they are
// missing (operator/zync_reconciler.go:38, DefaultsOnlySecretMutator), and System
// reads the token from this Secret, so a user has to give no more than
// DATABASE_URL and ZYNC_DATABASE_PASSWORD.
func DatabaseSecrets(apiManager *unstructured.Unstructured) []string {
	names := []string{"backend-redis", "system-database", "system-redis"}
	if isExternal(apiManager, ZyncDatabase) {
		names = append(names, "zync")
	}
	return names
}

// NotIncluded returns what a backup with these databases does not hold, in the words of a
// status: the contents of the other databases, and the job queues of Backend, which lie in
// another Redis database than its counters; the custom resources of the group
// capabilities.3scale.net; and what users have changed in the Routes that the operator and
// Zync make.
func NotIncluded(held ...Database) []string {
	out := []string{"databases"}
	if len(held) > 0 {
		out = nil
		for _, d := range Databases() {
			switch isHeld := slices.Contains(held, d); {
			case !isHeld:
				out = append(out, string(d))
			case d == BackendRedis:
				out = append(out, "queues of backend-redis")
			}
		}
	}
	return append(out, "capability resources", "changes to Routes")
}

// ZyncIsEnabled reports whether zync runs: it does unless spec.zync.enabled is
// false (apimanager_types.go:1376).
func ZyncIsEnabled(apiManager *unstructured.Unstructured) bool {
	enabled, found := flag(apiManager, "spec", "zync", "enabled")
	return enabled || !found
}
