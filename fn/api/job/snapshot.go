package job

import (
	"path"
	"regexp"
	"strings"
	"time"
)

// The snapshot that a Job mounts at ObjectsPath:
//
//	run.json                             Description
//	apimanager/apimanager-backup.json    the APIManager, cleaned
//	configmaps/<name>.json               a ConfigMap, cleaned
//	secret-metadata/<name>.json          a Secret, cleaned, without its data
//	secrets/<name>/<key>                 one value of a Secret, as raw bytes
const (
	// DescriptionFile is the path of the Description.
	DescriptionFile = "run.json"
	// APIManagerFile is the path of the APIManager, and the one at which it is stored.
	APIManagerFile = "apimanager/apimanager-backup.json"
	// ConfigMapsDir holds the ConfigMaps.
	ConfigMapsDir = "configmaps"
	// SecretMetadataDir holds the Secrets without their data.
	SecretMetadataDir = "secret-metadata"
	// SecretsDir holds a folder a Secret, with a file a key.
	SecretsDir = "secrets"
)

// ConfigMapFile returns the path of a ConfigMap in the snapshot.
func ConfigMapFile(name string) string { return path.Join(ConfigMapsDir, name+".json") }

// SecretMetadataFile returns the path of a Secret without its data.
func SecretMetadataFile(name string) string { return path.Join(SecretMetadataDir, name+".json") }

// SecretKeyFile returns the path of one value of a Secret.
func SecretKeyFile(name, key string) string { return path.Join(SecretsDir, name, key) }

// Description says which installation a run backs up, and what started the run.
type Description struct {
	Source Source `json:"source"`
	Cause  Cause  `json:"cause"`
}

// Source is the installation that is backed up.
type Source struct {
	Namespace      string `json:"namespace"`
	APIManager     string `json:"apiManager"`
	UID            string `json:"uid,omitempty"`
	ThreeScale     string `json:"threescaleVersion,omitempty"`
	WildcardDomain string `json:"wildcardDomain,omitempty"`
	// FileStorage is the PersistentVolumeClaim of the file storage; nil without one.
	FileStorage *PVC `json:"fileStorage,omitempty"`
}

// PVC describes a PersistentVolumeClaim, so that another like it can be made.
type PVC struct {
	StorageClass *string  `json:"storageClassName,omitempty"`
	Size         string   `json:"size,omitempty"` // a quantity: its capacity, which may be more than its request
	AccessModes  []string `json:"accessModes,omitempty"`
}

// CauseKind is the kind of what started a run.
type CauseKind string

// Causes of a run.
const (
	// CauseCreation: the ThreeScaleBackup was created.
	CauseCreation CauseKind = "Creation"
	// CauseTrigger: spec.trigger had a new value.
	CauseTrigger CauseKind = "Trigger"
	// CauseSchedule: a slot of spec.schedule came.
	CauseSchedule CauseKind = "Schedule"
)

// Cause is what started a run. Value is the trigger's text, or the slot in
// RFC 3339, in UTC.
type Cause struct {
	Kind  CauseKind `json:"kind"`
	Value string    `json:"value,omitempty"`
}

// RunID returns the ID of a run that starts at t: the time in UTC, and the first 8 hex
// digits of digest, such as 20261122t020000z-1a2b3c4d.
func RunID(t time.Time, digest string) string {
	return strings.ToLower(t.UTC().Format("20060102T150405Z")) + "-" + digest[:8]
}

// RunTime parses the part of a RunID before the dash.
func RunTime(text string) (time.Time, error) {
	return time.Parse("20060102T150405Z", strings.ToUpper(text))
}

// runID matches the IDs that RunID returns, and those of runs that a trigger starts.
var runID = regexp.MustCompile(`^([0-9]{8}t[0-9]{6}z-[0-9a-f]{8}|trigger-[0-9a-f]{12})$`)

// IsRunID reports whether text can be the ID of a run. IDs are read from labels, which
// others may write too.
func IsRunID(text string) bool { return runID.MatchString(text) }

// Handled records what a ThreeScaleBackup had handled when a run or a verification
// started.
type Handled struct {
	Trigger    string     `json:"trigger,omitempty"`    // the newest trigger that started a run
	Slot       *time.Time `json:"slot,omitempty"`       // the newest slot of the schedule
	VerifySlot *time.Time `json:"verifySlot,omitempty"` // likewise of the verification's
}
