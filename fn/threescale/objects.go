package threescale

const (
	// KindSecret is the kind of the objects that Secrets lists.
	KindSecret = "Secret"
	// KindConfigMap is the kind of the objects that ConfigMaps lists.
	KindConfigMap = "ConfigMap"
)

// Origin says where the content of an object comes from, and so what is lost
// with it.
type Origin string

const (
	// OriginSupplied means that the user wrote it and the operator stops without it.
	OriginSupplied Origin = "Supplied"
	// OriginGenerated means that the operator drew random values, and would draw
	// others if it had to write the object again.
	OriginGenerated Origin = "Generated"
	// OriginDerived means that the operator fills in fixed values, or values
	// that follow from the APIManager, and keeps those the user has set.
	OriginDerived Origin = "Derived"
)

// Object is one Secret or ConfigMap that belongs to a 3scale installation under
// a fixed name.
type Object struct {
	// Kind is KindSecret or KindConfigMap.
	Kind string
	// Name is the name that the operator looks for; it cannot be configured.
	Name string
	// Required means that a backup without the object could not bring the
	// installation back as it was. An object that is not required may be missing:
	// the operator writes it again with the same content.
	Required bool
	// Origin tells who wrote the content.
	Origin Origin
	// Reason says why the object is required or not, for messages and documentation.
	Reason string
}

// Secrets returns the 13 Secrets that the operator's own backup holds
// (pkg/backup/apimanager_backup.go:23-37), sorted by name.
//
// In every version from 0.5.0 to 0.13.0 the pods refer to all of them without
// `optional`, so in a healthy installation all exist: whatever is absent, the
// operator writes again at its next reconcile with the defaults that
// system_options_provider.go:153-393, backend_options_provider.go:73-113 and
// zync_options_provider.go:75-170 give. Required is therefore judged by whether
// those defaults are as good as what was there.
//
// The APIManager decides about zync only: with spec.zync.enabled false the
// operator deletes that Secret. It may be nil.
func Secrets(apiManager map[string]any) []Object {
	zyncEnabled := zyncIsEnabled(apiManager)
	return []Object{
		{KindSecret, "backend-internal-api", true, OriginGenerated,
			"holds the random password by which System and Backend trust each other"},
		{KindSecret, "backend-listener", true, OriginDerived,
			"holds the public address of the backend; one that differs from the wildcard domain is written nowhere else"},
		{KindSecret, "backend-redis", true, OriginSupplied,
			"holds the addresses and credentials of the backend's Redis, which the operator does not start without"},
		{KindSecret, "system-app", true, OriginGenerated,
			"holds SECRET_KEY_BASE, the random key by which System signs and encrypts; another one makes all that unusable"},
		{KindSecret, "system-database", true, OriginSupplied,
			"holds the address and credentials of the system database, which the operator does not start without"},
		{KindSecret, "system-events-hook", true, OriginGenerated,
			"holds the random password by which Backend reports events to System"},
		{KindSecret, "system-master-apicast", true, OriginGenerated,
			"holds the access token of APIcast, which the system database knows too"},
		{KindSecret, "system-memcache", false, OriginDerived,
			"holds only the in-cluster address of memcached, which the operator writes again; its own restore skips it"},
		{KindSecret, "system-recaptcha", false, OriginDerived,
			"holds the keys of the spam protection, which is off by default: the operator writes empty ones again"},
		{KindSecret, "system-redis", true, OriginSupplied,
			"holds the address and credentials of System's Redis, which the operator does not start without"},
		{KindSecret, "system-seed", true, OriginGenerated,
			"holds the passwords and access tokens of the master and the first tenant, which the system database knows too"},
		{KindSecret, "system-smtp", true, OriginDerived,
			"holds the mail account, which only the user knows: the operator would write empty fields"},
		{KindSecret, "zync", zyncEnabled, OriginGenerated, zyncReason(zyncEnabled)},
	}
}

// ConfigMaps returns the 2 ConfigMaps that the operator's own backup holds
// (pkg/backup/apimanager_backup.go:39-42), sorted by name.
func ConfigMaps() []Object {
	return []Object{
		// operator/apicast_reconciler.go:22-47
		{KindConfigMap, "apicast-environment", false, OriginDerived,
			"holds three keys that the operator writes from the APIManager at each reconcile"},
		// system_reconciler.go:103: CreateOnlyMutator
		{KindConfigMap, "system-environment", true, OriginDerived,
			"is created once and never corrected, so that what the user changed is written nowhere else"},
	}
}

// DatabaseSecrets returns the names of the Secrets that point to the external
// databases, sorted. The operator's restore leaves them to the user
// (pkg/restore/apimanager_restore.go:35-49), since a restored installation may
// use other databases.
func DatabaseSecrets() []string {
	return []string{"backend-redis", "system-database", "system-redis"}
}

// zyncIsEnabled follows the operator: zync runs unless it is switched off in so
// many words (apimanager_types.go:1376).
func zyncIsEnabled(apiManager map[string]any) bool {
	enabled, found := flag(apiManager, "spec", "zync", "enabled")
	return enabled || !found
}

// zyncReason says why the zync Secret is required or not.
func zyncReason(enabled bool) string {
	if !enabled {
		return "belongs to zync, which spec.zync.enabled switches off: the operator deletes it (operator/zync_reconciler.go:296-302)"
	}
	return "holds the key and the token of zync, and the address of its database when that is external"
}
