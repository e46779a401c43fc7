package threescale

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Database is a database of 3scale. Its value names it in a run.
type Database string

const (
	// SystemDatabase is the MySQL, PostgreSQL or Oracle database of System.
	SystemDatabase Database = "system-database"
	// SystemRedis is the Redis of System: job queues.
	SystemRedis Database = "system-redis"
	// BackendRedis is the Redis of Backend: usage counters, keys and job queues.
	BackendRedis Database = "backend-redis"
	// ZyncDatabase is the PostgreSQL database of zync. It may be internal.
	ZyncDatabase Database = "zync-database"
)

// InternalDatabases returns a message for each of the three databases that have to be
// external and are not: system-database, system-redis and backend-redis, in this order.
// Without any message the APIManager is eligible. The operator demands the same since
// 3scale 2.16 (pkg/helper/requirements_common_helper.go:51-70).
func InternalDatabases(apiManager *unstructured.Unstructured) []string {
	var messages []string
	for _, database := range []Database{SystemDatabase, SystemRedis, BackendRedis} {
		if isExternal(apiManager, database) {
			continue
		}
		messages = append(messages, fmt.Sprintf("%s is not external: move it out of the cluster and set %s to true%s",
			database, strings.Join(externalField(database), "."), ignoredNote(apiManager)))
	}
	return messages
}

// isExternal reports whether a database runs outside the installation. If
// spec.externalComponents is set, it alone counts. Otherwise the older
// spec.highAvailability does: one field for three databases, another for Zync's
// (apimanager_types.go:1230-1268).
func isExternal(apiManager *unstructured.Unstructured, database Database) bool {
	if _, set := lookup(apiManager, "spec", "externalComponents"); set {
		external, _ := flag(apiManager, externalField(database)...)
		return external
	}
	external, _ := flag(apiManager, "spec", "highAvailability", "enabled")
	if database == ZyncDatabase {
		zync, _ := flag(apiManager, "spec", "highAvailability", "externalZyncDatabaseEnabled")
		return external && zync
	}
	return external
}

// externalField returns the path of the field that makes a database external.
func externalField(database Database) []string {
	component, kind, _ := strings.Cut(string(database), "-")
	return []string{"spec", "externalComponents", component, kind}
}

// ignoredNote warns of a highAvailability field that looks as if it made all
// databases external, but is not read.
func ignoredNote(apiManager *unstructured.Unstructured) string {
	_, set := lookup(apiManager, "spec", "externalComponents")
	enabled, _ := flag(apiManager, "spec", "highAvailability", "enabled")
	if set && enabled {
		return " (spec.highAvailability is ignored because spec.externalComponents is set)"
	}
	return ""
}

// UsesS3 reports whether the file storage is an S3 bucket. Then there is no
// PersistentVolumeClaim FileStoragePVCName (operator/system_reconciler.go:38-48).
// The deprecated amazonSimpleStorageService does not make it one.
func UsesS3(apiManager *unstructured.Unstructured) bool {
	_, set := lookup(apiManager, fileStorageField("simpleStorageService")...)
	return set
}

// FileStorageProblem returns why the file storage cannot be backed up: the APIManager
// names both a volume and a bucket, or a bucket without its Secret; "" if it can be.
// Without any field the file storage is a volume (operator/system_options_provider.go:541-560).
func FileStorageProblem(apiManager *unstructured.Unstructured) string {
	if !UsesS3(apiManager) {
		return ""
	}
	if _, hasVolume := lookup(apiManager, fileStorageField("persistentVolumeClaim")...); hasVolume { // apimanager_types.go:1143-1153
		return "spec.system.fileStorage sets both persistentVolumeClaim and simpleStorageService, which the operator refuses: remove one of the two"
	}
	if FileStorageSecret(apiManager) == "" {
		return "spec.system.fileStorage.simpleStorageService names no Secret of its bucket, which the operator refuses: set configurationSecretRef.name"
	}
	return ""
}

// DeprecatedField returns a message about a field of the APIManager that the operator
// ignores; "" if there is none.
func DeprecatedField(apiManager *unstructured.Unstructured) string {
	if _, set := lookup(apiManager, fileStorageField("amazonSimpleStorageService")...); !set {
		return ""
	}
	return "The operator ignores the deprecated amazonSimpleStorageService: remove it, or use simpleStorageService if the files should be in S3"
}

// fileStorageField returns the path of a member of the file storage union.
func fileStorageField(member string) []string {
	return []string{"spec", "system", "fileStorage", member}
}
