// Package facts holds what one call of Compose knows, as typed values. They are
// gathered once, and no step writes to them.
package facts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// Names of composed resources. Those of a run end in its ID, since a resource
// of a name cannot change the name of its object.
const (
	KeyVolume         = "volume"
	KeyServiceAccount = "service-account"
	KeyRole           = "role"
	KeyRoleBinding    = "role-binding"
	KeyJob            = "job/"
	KeyReport         = "report/"
	KeyObjects        = "objects/"
	KeySecretCopy     = "secret/"
	KeyVerifyJob      = "verify-job/"
	KeyVerifyReport   = "verify-report/"
	KeyCopyJob        = "copy-job/"
	KeyCopyReport     = "copy-report/"
	KeyBucketJob      = "bucket-verify-job/"
	KeyBucketReport   = "bucket-verify-report/"
)

var kinds = map[string]string{
	KeyVolume:         "PersistentVolumeClaim",
	KeyServiceAccount: "ServiceAccount",
	KeyRole:           "Role",
	KeyRoleBinding:    "RoleBinding",
	KeyJob:            "Job",
	KeyReport:         "ConfigMap",
	KeyObjects:        "Secret",
	KeySecretCopy:     "Secret",
	KeyVerifyJob:      "Job",
	KeyVerifyReport:   "ConfigMap",
	KeyCopyJob:        "Job",
	KeyCopyReport:     "ConfigMap",
	KeyBucketJob:      "Job",
	KeyBucketReport:   "ConfigMap",
}

// KindOf returns the kind that a composed resource of a name must have, "" for other
// names. The name is read from an annotation, which many users may write.
func KindOf(key string) string { return kinds[strings.SplitAfterN(key, "/", 2)[0]] }

// ClockTolerance is how far the clock of a node may be apart from the others.
const ClockTolerance = 5 * time.Minute

// Facts are what one call knows.
type Facts struct {
	// Identity has the name that the user gave the backup, and its namespace.
	specs.Identity
	// UID and Created are the composite's.
	UID       types.UID
	Created   time.Time
	Spec      v1alpha1.ThreeScaleBackupSpec
	SpecError error
	// Status is what the call before recorded.
	Status v1alpha1.ThreeScaleBackupStatus
	// Unresponsive, Shows, Now, Image, Allow and InputError are as in Observed.
	Unresponsive bool
	Shows        []string
	Now          time.Time
	Image        string
	Allow        v1alpha1.Allow
	InputError   error

	// Home is the Namespace; nil: it was not found.
	Home         *corev1.Namespace
	Installation Installation
	Destination  Destination
	// Readers are the ThreeScaleRestores that read the backup volume, sorted.
	Readers []string
	Pods    Pods
	// BucketSecrets are those that spec.offsite names and that exist, by name. Only their
	// keys are looked at.
	BucketSecrets map[string]*Secret
	// Jobs are those observed, by resource name.
	Jobs map[string]*Job
	// Runs, Verifications and so on are what is observed of each, by ID.
	Runs                map[string]Run
	Verifications       map[string]Task
	Copies              map[string]Task
	BucketVerifications map[string]Task
	// Handled is what the observed reports note as handled. It is read only while the
	// status is new: later the status says the same, and fewer users may write that.
	Handled job.Handled
}

// Installation is the 3scale installation that is backed up.
type Installation struct {
	// Found are the names of the APIManagers, of which there should be one.
	Found []string
	// APIManager is the only one found; else nil.
	APIManager *unstructured.Unstructured
	Name       string
	UID        types.UID
	// References are the Secrets that the APIManager refers to.
	References []threescale.SecretRef
	// Asked are the names of the Secrets that are asked for. Secrets are those of them
	// that exist, by name; Sources are those that are copied.
	Asked   []string
	Secrets map[string]*Secret
	Sources map[string]*Secret
	// ConfigMaps has the names of those that exist.
	ConfigMaps map[string]bool
	// FileStorage is the PVC of the System file storage; nil: it was not found.
	FileStorage *corev1.PersistentVolumeClaim
	// Files are what is stored of the objects, but for the Secrets' values, by path
	// in the snapshot.
	Files map[string][]byte
}

// Pods is the identity of a backup's pods, as far as it exists.
type Pods struct {
	Account bool
	Role    *rbacv1.Role
	Binding bool
}

// MayReport reports whether the pods' identity exists and may write a report.
func (p Pods) MayReport(report string) bool {
	return p.Account && p.Role != nil && slices.ContainsFunc(p.Role.Rules, func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.ResourceNames, report)
	})
}

// IsNew reports whether nothing is known of the composite yet, or no longer.
func (f *Facts) IsNew() bool {
	return len(f.Status.Runs) == 0 && len(f.Status.NotIncluded) == 0 // which record always sets
}

// LastTrigger is the newest trigger that started a run.
func (f *Facts) LastTrigger() string {
	if f.IsNew() {
		return f.Handled.Trigger
	}
	return f.Status.LastHandledTrigger
}

// AssignsUID reports whether the cluster assigns UIDs to the namespace's pods.
func (f *Facts) AssignsUID() bool {
	return f.Home != nil && f.Home.Annotations[specs.UIDRangeAnnotation] != ""
}

// BucketPrefix is where in the bucket of spec.offsite the runs are if that does not say.
func (f *Facts) BucketPrefix() string { return f.Namespace + "/" + f.Backup }

// SkipsFileStorage reports whether the spec leaves the file storage out.
func (f *Facts) SkipsFileStorage() bool {
	return f.Spec.FileStorage == v1alpha1.FileStorageSkip
}

// HasEnded reports whether a run has ended according to a status.
func HasEnded(status v1alpha1.ThreeScaleBackupStatus, run string) bool {
	return slices.ContainsFunc(status.Runs, func(r v1alpha1.Run) bool {
		return r.ID == run && r.State != v1alpha1.RunRunning
	})
}

// Later returns the later of two moments, of which each may be nil.
func Later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}

// CheckTrigger refuses a trigger that is too long to be recorded.
func CheckTrigger(trigger string) error {
	const limit = 253
	if len(trigger) > limit {
		return fmt.Errorf(text.TooLong, len(trigger), limit)
	}
	return nil
}
