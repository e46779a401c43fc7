package job

import (
	"path"
	"regexp"
	"strings"
	"time"

	"threescale.dev/backup/fn/recorded"
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
	Source Source         `json:"source"`
	Cause  recorded.Cause `json:"cause"`
}

// Source is the installation that is backed up. archive.Source is what the manifest
// keeps of it, under other keys.
type Source struct {
	Namespace      string `json:"namespace"`
	APIManager     string `json:"apiManager"`
	UID            string `json:"uid,omitempty"`
	ThreeScale     string `json:"threescaleVersion,omitempty"`
	WildcardDomain string `json:"wildcardDomain,omitempty"`
	// FileStorage is the PersistentVolumeClaim of the file storage; nil without one.
	FileStorage *recorded.PVC `json:"fileStorage,omitempty"`
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
	// OffsiteVerifySlot likewise of the verification's of the bucket.
	OffsiteVerifySlot *time.Time `json:"offsiteVerifySlot,omitempty"`
}

// Copying records what a copy to a bucket is about when it starts.
type Copying struct {
	Run      string `json:"run"`                // the newest run that is copied
	Location string `json:"location"`           // where to, as in status.offsite
	Settings string `json:"settings,omitempty"` // a digest of what may have made an earlier one fail
	Failures int32  `json:"failures,omitempty"` // how many failed before it, since one succeeded
}
