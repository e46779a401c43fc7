package v1alpha1

// RestoreFileStorage says how the file storage is filled.
type RestoreFileStorage struct {
	// What becomes of files that are there already and differ: Fail restores
	// nothing, Overwrite replaces those that the run has, Mirror also removes the
	// others, Skip leaves a file storage alone that is not empty. In S3 the objects of
	// the bucket are the files. Overwrite and Mirror change none for a restore into another
	// namespace or with another target.wildcardDomain, unless bucketSecret is Omit.
	// +optional
	// +kubebuilder:default=Fail
	Existing ExistingPolicy `json:"existing,omitempty"`

	// Whether the Secret is restored that leads to the bucket, where the APIManager has the
	// files in S3; Restore by default. Omit leaves it to you, so that a copy has a bucket of
	// its own: make the Secret that spec.system.fileStorage.simpleStorageService of the
	// APIManager names in this namespace. The files go into the bucket that it leads to.
	// +optional
	BucketSecret BucketSecretPolicy `json:"bucketSecret,omitempty"`
}

// BucketSecretPolicy says whether the Secret of the bucket is restored.
// +kubebuilder:validation:Enum=Restore;Omit
type BucketSecretPolicy string

// Policies for the Secret of the bucket.
const (
	BucketSecretRestore BucketSecretPolicy = "Restore"
	BucketSecretOmit    BucketSecretPolicy = "Omit"
)

// OmitsBucketSecret reports whether the Secret of the namespace leads to the bucket of the
// file storage, and not that of the run.
func (r *ThreeScaleRestore) OmitsBucketSecret() bool {
	return r.Spec.FileStorage.BucketSecret == BucketSecretOmit
}

// ExistingPolicy says what becomes of files that are there already.
// +kubebuilder:validation:Enum=Fail;Overwrite;Mirror;Skip
type ExistingPolicy string

// Policies for files that are there already.
const (
	ExistingFail      ExistingPolicy = "Fail"
	ExistingOverwrite ExistingPolicy = "Overwrite"
	ExistingMirror    ExistingPolicy = "Mirror"
	ExistingSkip      ExistingPolicy = "Skip"
)
