package v1alpha1

import "github.com/fluxcd/pkg/apis/meta"

// Bucket names a place in an object store that speaks S3. Its first fields are those of
// a Flux Bucket.
//
// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || !has(self.webIdentity)",message="set secretRef or webIdentity, not both"
type Bucket struct {
	// Kind of the object store: aws for Amazon S3, generic for all others.
	// +optional
	// +kubebuilder:default=generic
	Provider BucketProvider `json:"provider,omitempty"`

	// Host of the object store, with a port if it is not the usual one, such as
	// s3.example.com or s3.example.com:9000.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`
	Endpoint string `json:"endpoint"`

	// Name of the bucket, which must exist.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`
	BucketName string `json:"bucketName"`

	// Where in the bucket the runs are, such as prod/3scale. In a ThreeScaleBackup it is
	// <namespace>/<name> by default. A prefix takes the runs of one ThreeScaleBackup with
	// one PersistentVolumeClaim.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`
	// +kubebuilder:validation:XValidation:rule="!self.split('/').exists(e, e == '.' || e == '..')",message="prefix has no segments . and .."
	Prefix string `json:"prefix,omitempty"`

	// Region of the bucket, such as eu-central-1; without it, the object store is asked.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	Region string `json:"region,omitempty"`

	// Speaks HTTP without TLS; false by default.
	// +optional
	Insecure bool `json:"insecure,omitempty"`

	// A Secret of this namespace with the keys accesskey and secretkey, or
	// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY as an ObjectBucketClaim makes them;
	// sessiontoken or AWS_SESSION_TOKEN too where the object store wants it.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// Exchanges a token of the pods' ServiceAccount for credentials, instead of a
	// Secret.
	// +optional
	WebIdentity *WebIdentity `json:"webIdentity,omitempty"`

	// A Secret of this namespace with the key ca.crt: the certificates of the
	// authorities that the object store's is checked against, beside the usual ones.
	// +optional
	CertSecretRef *meta.LocalObjectReference `json:"certSecretRef,omitempty"`

	// A Secret of this namespace with the key address of an HTTP proxy, and username
	// and password if it wants them.
	// +optional
	ProxySecretRef *meta.LocalObjectReference `json:"proxySecretRef,omitempty"`

	// Whether requests carry checksums for the object store to check: SHA256, or None
	// for one that refuses them.
	// +optional
	// +kubebuilder:default=SHA256
	Checksums BucketChecksums `json:"checksums,omitempty"`
}

// BucketProvider is a kind of object store.
// +kubebuilder:validation:Enum=generic;aws
type BucketProvider string

// Kinds of object stores.
const (
	BucketGeneric BucketProvider = "generic"
	BucketAWS     BucketProvider = "aws"
)

// BucketChecksums says whether requests carry checksums.
// +kubebuilder:validation:Enum=SHA256;None
type BucketChecksums string

// Checksums of requests.
const (
	ChecksumsSHA256 BucketChecksums = "SHA256"
	ChecksumsNone   BucketChecksums = "None"
)

// WebIdentity exchanges the token of a ServiceAccount for credentials, by the operation
// AssumeRoleWithWebIdentity of AWS' security token service or one that is like it.
type WebIdentity struct {
	// The role to assume, such as arn:aws:iam::123456789012:role/backup.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9:/_+=,.@-]+$`
	RoleARN string `json:"roleARN"`

	// Audience of the token.
	// +optional
	// +kubebuilder:default="sts.amazonaws.com"
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9:/_.-]+$`
	Audience string `json:"audience,omitempty"`

	// URL of the security token service; that of AWS in the bucket's region by default.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9:/_.-]+$`
	Endpoint string `json:"endpoint,omitempty"`
}
