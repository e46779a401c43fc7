package restore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/fluxcd/pkg/apis/meta"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// TrailerKey is the key of the trailer in a restore's commit. The trailer is the durable record that
// the restore was done, even if its status is lost.
const TrailerKey = "Threescale-Restore"

// asked is what a restore restores, and where to. A change of it begins another attempt; a change of
// the rest of the spec (how long to wait, how to sign) does not. Commits contain its digest: a new
// field must be omitted while it is unset, or every finished restore would run again after an upgrade.
type asked struct {
	Source          v1alpha1.RestoreSource          `json:"source"`
	Repository      v1alpha1.GitRepositoryReference `json:"repository"`
	Checkout        *v1alpha1.GitCheckout           `json:"checkout,omitempty"`
	Push            *v1alpha1.GitPush               `json:"push,omitempty"`
	Path            string                          `json:"path"`
	Encryption      *v1alpha1.Encryption            `json:"encryption,omitempty"`
	Target          v1alpha1.Target                 `json:"target,omitzero"`
	DatabaseSecrets v1alpha1.DatabaseSecretsPolicy  `json:"databaseSecrets"`
	FileStorage     v1alpha1.RestoreFileStorage     `json:"fileStorage,omitzero"`
	// Databases is "" for Skip. With which client databases are loaded may change.
	Databases v1alpha1.DatabasesPolicy `json:"databases,omitempty"`
	// Forced is the newest request to restore again.
	Forced string `json:"forced,omitempty"`
}

// attemptOf identifies what r asks for: 64 hex digits.
func attemptOf(r *v1alpha1.ThreeScaleRestore) string { return digest(r, forced(r)) }

// forced is the newest request to restore again, "" without one.
func forced(r *v1alpha1.ThreeScaleRestore) string {
	if token, ok := forceRequest(r); ok {
		return token
	}
	return r.Status.LastHandledForceAt
}

// digest is the SHA-256 of what r asks for, with a request to restore again.
func digest(r *v1alpha1.ThreeScaleRestore, forced string) string {
	data, _ := json.Marshal(asked{ //nolint:errchkjson // all its fields can be encoded
		Source:          askedSource(r),
		Repository:      r.Spec.SourceRef,
		Checkout:        r.Spec.Git.Checkout,
		Push:            r.Spec.Git.Push,
		Path:            r.Spec.Path,
		Encryption:      r.Spec.Encryption,
		Target:          r.Spec.Target,
		DatabaseSecrets: r.Spec.DatabaseSecrets,
		FileStorage:     r.Spec.FileStorage,
		Databases:       askedDatabases(r),
		Forced:          forced,
	})
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// askedSource is what r restores from: of a bucket, only where the runs are. How a bucket is reached, and
// with which credentials, may change without anything being restored again.
func askedSource(r *v1alpha1.ThreeScaleRestore) v1alpha1.RestoreSource {
	source := r.Spec.RestoreSource
	if b := source.Bucket; b != nil {
		source.Bucket = &v1alpha1.Bucket{Endpoint: b.Endpoint, BucketName: b.BucketName, Prefix: b.Prefix}
	}
	return source
}

// askedDatabases is what r does with databases; "" for nothing.
func askedDatabases(r *v1alpha1.ThreeScaleRestore) v1alpha1.DatabasesPolicy {
	if !r.LoadsDatabases() {
		return ""
	}
	return r.Spec.Databases.Policy
}

// forceRequest returns the token of a request to restore again. As in Flux, it
// counts only together with a request to reconcile of the same value.
func forceRequest(r *v1alpha1.ThreeScaleRestore) (string, bool) {
	token := r.GetAnnotations()[meta.ForceRequestAnnotation]
	return token, token != "" && token == r.GetAnnotations()[meta.ReconcileRequestAnnotation]
}

// RecordOf is what the trailer of a commit records of a restore: the digest of its spec and, if
// somebody asked for the restore again, "+" and the first 8 hex digits of the request's digest. A
// restore that is deleted and applied again without the request thus finds its commit. The run is only
// the trailer's note, so that the record is found whatever run is the latest by then.
func RecordOf(r *v1alpha1.ThreeScaleRestore) string {
	spec := digest(r, "")
	if !Forced(r) {
		return spec
	}
	sum := sha256.Sum256([]byte(forced(r)))
	return spec + "+" + hex.EncodeToString(sum[:4])
}

// Forced reports whether somebody asked for the restore again.
func Forced(r *v1alpha1.ThreeScaleRestore) bool { return forced(r) != "" }
