package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Input is the input of the function's step in a Composition. It is never
// stored in a cluster; its CRD in package/ documents it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=crossplane
// +kubebuilder:storageversion
type Input struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Image of the pods that copy the data: the image of this function itself, which
	// Crossplane does not tell it.
	// +required
	// +kubebuilder:validation:MinLength=1
	Image string `json:"image"`

	// What a ThreeScaleBackup may ask for in spec.job, spec.offsite and spec.databases
	// beyond what concerns its own namespace alone. By default pods meet Pod Security
	// "restricted", tolerate no taint and have no priority, copies go to any bucket, and
	// databases are dumped with any image.
	// +optional
	Allow Allow `json:"allow,omitempty,omitzero"`
}

// Allow says what a ThreeScaleBackup may ask for in spec.job, spec.offsite and
// spec.databases.
type Allow struct {
	// Level of the Pod Security Standards that pods must meet: restricted by default;
	// baseline, which lets them run as root; or privileged, which is anything. What
	// the namespace itself enforces applies as well.
	// +optional
	PodSecurity PodSecurityLevel `json:"podSecurity,omitempty"`

	// Names of the PriorityClasses that pods may have; none by default.
	// +optional
	// +listType=set
	PriorityClassNames []string `json:"priorityClassNames,omitempty"`

	// Taints that pods may tolerate, as tolerations: one that names no key, value or
	// effect allows all of them. None by default.
	// +optional
	// +listType=atomic
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// Other namespaces that the affinity and anti-affinity of a pod may name; "*" is
	// all of them, and is needed for a namespaceSelector. None by default.
	// +optional
	// +listType=set
	AffinityNamespaces []string `json:"affinityNamespaces,omitempty"`

	// Buckets that spec.offsite may copy to, as ENDPOINT/BUCKET, such as
	// s3.example.com/backups; a star at the end stands for any text. Without any, all
	// are allowed: whoever may write a ThreeScaleBackup can then send what it backs up to
	// a server of their own.
	// +optional
	// +listType=set
	Buckets []string `json:"buckets,omitempty"`

	// URLs of the security token services, besides those of AWS, to which
	// spec.offsite.bucket.webIdentity may send a token of the pods' ServiceAccount. None
	// by default.
	// +optional
	// +listType=set
	STSEndpoints []string `json:"stsEndpoints,omitempty"`

	// Images that spec.databases may name, such as quay.io/example/postgresql-15:1.2;
	// a star at the end stands for any text. Without any, all are allowed: whoever may
	// write a ThreeScaleBackup can then run an image of their own with the login of the
	// database that it dumps.
	// +optional
	// +listType=set
	DatabaseImages []string `json:"databaseImages,omitempty"`

	// How much of each resource a pod may have as its request and its limit. Where a
	// resource is not named here, cpu, memory and ephemeral-storage are free, since a
	// ResourceQuota of the namespace can bound them, and all others, such as devices,
	// are refused.
	// +optional
	MaxResources corev1.ResourceList `json:"maxResources,omitempty"`
}

// PodSecurityLevel is a level of the Pod Security Standards.
// +kubebuilder:validation:Enum=restricted;baseline;privileged
type PodSecurityLevel string

// Levels of the Pod Security Standards.
const (
	PodSecurityRestricted PodSecurityLevel = "restricted"
	PodSecurityBaseline   PodSecurityLevel = "baseline"
	PodSecurityPrivileged PodSecurityLevel = "privileged"
)
