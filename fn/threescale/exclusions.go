package threescale

const (
	// NotIncludedDatabases stands for the contents of the external databases.
	NotIncludedDatabases = "databases"
	// NotIncludedCapabilities stands for the custom resources of the group
	// capabilities.3scale.net.
	NotIncludedCapabilities = "capability resources"
)

// NotIncluded returns what no backup holds, in the words of a status.
func NotIncluded() []string {
	return []string{NotIncludedDatabases, NotIncludedCapabilities}
}

// Exclusion is one thing that belongs to an installation and is in no backup.
type Exclusion struct {
	// Part is NotIncludedDatabases or NotIncludedCapabilities.
	Part string
	// Name is that of the database, or the kind of the custom resource.
	Name string
	// Reason says what it holds, and so what has to be saved by other means.
	Reason string
}

// Exclusions returns all that a backup does not hold, one by one: the four
// databases, and the kinds of capabilities.3scale.net (config/crd/bases).
func Exclusions() []Exclusion {
	exclusions := []Exclusion{
		{NotIncludedDatabases, string(SystemDatabase), "accounts, products, backends, plans, portals and all other configuration"},
		{NotIncludedDatabases, string(BackendRedis), "usage counters and authorization keys"},
		{NotIncludedDatabases, string(SystemRedis), "job queues, which System fills again"},
		{NotIncludedDatabases, string(ZyncDatabase), "routes and identity provider clients, which a resync from System brings back in part"},
	}
	for _, kind := range capabilityKinds() {
		exclusions = append(exclusions, Exclusion{NotIncludedCapabilities, kind,
			"describes what the system database holds; keep it in Git or export it"})
	}
	return exclusions
}

// capabilityKinds returns the kinds of the group capabilities.3scale.net.
func capabilityKinds() []string {
	return []string{
		"ActiveDoc", "Application", "ApplicationAuth", "Backend", "CustomPolicyDefinition", "DeveloperAccount",
		"DeveloperUser", "OpenAPI", "Product", "ProxyConfigPromote", "Tenant",
	}
}
