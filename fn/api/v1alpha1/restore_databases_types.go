package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// DatabaseSecretsPolicy says whether the databases' Secrets are restored.
// +kubebuilder:validation:Enum=Restore;Omit
type DatabaseSecretsPolicy string

// Policies for the databases' Secrets.
const (
	DatabaseSecretsRestore DatabaseSecretsPolicy = "Restore"
	DatabaseSecretsOmit    DatabaseSecretsPolicy = "Omit"
)

// RestoreDatabases says what becomes of the databases that the run holds.
type RestoreDatabases struct {
	// What the restore does with the databases that the restored Secrets lead to; with
	// databaseSecrets: Omit, that those of the namespace lead to. Skip loads none.
	// IfEmpty loads all that the run holds, and restores nothing if one of them holds
	// data. Replace loads them whatever they hold, which is lost. A restore whose load
	// was interrupted goes on with either.
	// +optional
	// +kubebuilder:default=Skip
	Policy DatabasesPolicy `json:"policy,omitempty"`

	// The client of System's database. Needed if the run holds that database and the
	// policy is not Skip.
	// +optional
	System *RestoreSQLDatabase `json:"system,omitempty"`

	// The client of Zync's database; needed likewise.
	// +optional
	Zync *RestoreSQLDatabase `json:"zync,omitempty"`

	// Where the dumps lie, decrypted, while they are loaded: a volume that is made for
	// the pod, and deleted with it. Without it, they lie on the pod's node, which must
	// have the space.
	// +optional
	Scratch *ScratchVolume `json:"scratch,omitempty"`
}

// DatabasesPolicy says whether databases are loaded.
// +kubebuilder:validation:Enum=Skip;IfEmpty;Replace
type DatabasesPolicy string

// Policies for the databases that a run holds.
const (
	DatabasesSkip    DatabasesPolicy = "Skip"
	DatabasesIfEmpty DatabasesPolicy = "IfEmpty"
	DatabasesReplace DatabasesPolicy = "Replace"
)

// RestoreSQLDatabase is a database that is loaded with its own client.
type RestoreSQLDatabase struct {
	// Image with the client of the server's own major version or a newer one (pg_restore,
	// or mysql or mariadb). The image's own command does not run, and it needs no shell.
	// Its container gets the login of this database, and the dumps.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`
}

// ScratchVolume is a volume that lives as long as a pod.
type ScratchVolume struct {
	// Name of its StorageClass; by default that of the cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName string `json:"storageClassName,omitempty"`

	// Its size. The dumps must fit, as status.plan.databases tells their sizes.
	// +required
	Size resource.Quantity `json:"size"`
}

// LoadsDatabases reports whether the restore loads the databases that the run holds.
func (r *ThreeScaleRestore) LoadsDatabases() bool {
	policy := r.Spec.Databases.Policy
	return policy == DatabasesIfEmpty || policy == DatabasesReplace
}
