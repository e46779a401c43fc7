package threescale

import (
	"fmt"
	"strings"
)

// Code names what a Finding is about. It is stable and can be compared.
type Code string

const (
	// InternalDatabase means that a database runs inside the installation, where
	// no backup of ours reaches its contents.
	InternalDatabase Code = "InternalDatabase"
	// S3FileStorage means that the file storage is an S3 bucket and not a volume.
	S3FileStorage Code = "S3FileStorage"
	// FileStorageConflict means that the APIManager asks for a volume and for S3
	// at once, which the operator refuses.
	FileStorageConflict Code = "FileStorageConflict"
	// DeprecatedS3Ignored means that the APIManager still sets the deprecated S3
	// field, which the operator ignores in favour of the volume.
	DeprecatedS3Ignored Code = "DeprecatedS3Ignored"
	// InvalidReference means that the APIManager names a Secret that cannot exist.
	InvalidReference Code = "InvalidReference"
)

// Finding is one thing about an APIManager that stands against a backup, or
// that its owner should know.
type Finding struct {
	// Code says what was found.
	Code Code
	// Field is the path in the APIManager that decides it, and that has to change.
	Field string
	// Blocking is false for a mere warning.
	Blocking bool
	// Message says what is the matter and what to do. It is the same at each call
	// and holds no value of a Secret.
	Message string
}

// Database is a database of 3scale, called as its Secret is.
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

// InternalDatabases returns a blocking finding for each of the three databases
// that has to be external and is not: system-database, system-redis and
// backend-redis, in this order. None means that the APIManager is eligible. The
// operator asks for the same since 3scale 2.16
// (pkg/helper/requirements_common_helper.go:51-70).
func InternalDatabases(apiManager map[string]any) []Finding {
	var findings []Finding
	for _, database := range []Database{SystemDatabase, SystemRedis, BackendRedis} {
		if IsExternal(apiManager, database) {
			continue
		}
		field := strings.Join(externalField(database), ".")
		findings = append(findings, Finding{
			Code:     InternalDatabase,
			Field:    field,
			Blocking: true,
			Message: fmt.Sprintf("%s is not external: move it out of the cluster and set %s to true%s",
				database, field, ignoredNote(apiManager)),
		})
	}
	return findings
}

// IsExternal reports whether a database runs outside the installation. What
// spec.externalComponents says counts alone; without it the older
// spec.highAvailability counts, which knows the three databases only together
// (apimanager_types.go:1230-1268).
func IsExternal(apiManager map[string]any, database Database) bool {
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
func ignoredNote(apiManager map[string]any) string {
	_, set := lookup(apiManager, "spec", "externalComponents")
	enabled, _ := flag(apiManager, "spec", "highAvailability", "enabled")
	if set && enabled {
		return " (spec.highAvailability is ignored because spec.externalComponents is set)"
	}
	return ""
}

// UsesS3 reports whether the file storage is an S3 bucket. Then there is no
// PersistentVolumeClaim FileStorageClaimName (operator/system_reconciler.go:38-48).
// The deprecated amazonSimpleStorageService does not make it one.
func UsesS3(apiManager map[string]any) bool {
	_, set := lookup(apiManager, fileStorageField("simpleStorageService")...)
	return set
}

// CheckFileStorage returns what stands against a backup of the file storage:
// S3 instead of a volume, or both at once, are blocking; the deprecated S3
// field, which the operator ignores, is a warning. Without any field the file
// storage is a volume (operator/system_options_provider.go:541-560).
func CheckFileStorage(apiManager map[string]any) []Finding {
	var findings []Finding
	_, hasVolume := lookup(apiManager, fileStorageField("persistentVolumeClaim")...)
	s3 := strings.Join(fileStorageField("simpleStorageService"), ".")
	switch usesS3 := UsesS3(apiManager); {
	case usesS3 && hasVolume: // apimanager_types.go:1143-1153
		findings = append(findings, Finding{Code: FileStorageConflict, Field: s3, Blocking: true,
			Message: "spec.system.fileStorage sets both persistentVolumeClaim and simpleStorageService, which the operator refuses: remove one of the two"})
	case usesS3:
		findings = append(findings, Finding{Code: S3FileStorage, Field: s3, Blocking: true,
			Message: "The file storage is an S3 bucket, which a backup to a volume cannot hold: back up the bucket with the tools of its provider, and set spec.fileStorage of the ThreeScaleBackup to Skip"})
	}
	deprecated := fileStorageField("amazonSimpleStorageService")
	if _, set := lookup(apiManager, deprecated...); set {
		findings = append(findings, Finding{Code: DeprecatedS3Ignored, Field: strings.Join(deprecated, "."),
			Message: "The operator ignores the deprecated amazonSimpleStorageService: remove it, or use simpleStorageService if the files shall lie in S3"})
	}
	return findings
}

// fileStorageField returns the path of a member of the file storage union.
func fileStorageField(member string) []string {
	return []string{"spec", "system", "fileStorage", member}
}
