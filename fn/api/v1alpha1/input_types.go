package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
}
