package v1alpha1

import "github.com/fluxcd/pkg/apis/meta"

// Git says how to check out, commit and push.
type Git struct {
	// Checkout says which branch to start from; that of the GitRepository by default.
	// +optional
	Checkout *GitCheckout `json:"checkout,omitempty"`
	// Commit says how the commit is made.
	// +optional
	Commit GitCommit `json:"commit,omitempty,omitzero"`
	// Push says where to; the checked-out branch by default.
	// +optional
	Push *GitPush `json:"push,omitempty"`
}

// GitCheckout says what to start from.
type GitCheckout struct {
	// Reference of the branch.
	// +required
	Reference GitBranch `json:"ref"`
}

// GitBranch names a branch.
type GitBranch struct {
	// Branch to check out.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch"`
}

// GitCommit says how the commit is made.
type GitCommit struct {
	// Author of the commit.
	// +optional
	Author GitAuthor `json:"author,omitempty,omitzero"`
	// MessageTemplate is a Go template of the message, with the functions of
	// ImageUpdateAutomation. It sees .Restore (Namespace, Name), .Run, .Source
	// (Namespace, APIManager), .Objects and .Values.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	MessageTemplate string `json:"messageTemplate,omitempty"`
	// MessageTemplateValues are .Values of the template.
	// +optional
	MessageTemplateValues map[string]string `json:"messageTemplateValues,omitempty"`
	// SigningKey signs the commit.
	// +optional
	SigningKey *GitSigningKey `json:"signingKey,omitempty"`
}

// GitAuthor is the author of a commit.
type GitAuthor struct {
	// Name of the author.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// Email of the author.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Email string `json:"email,omitempty"`
}

// GitSigningKey signs commits.
type GitSigningKey struct {
	// Type of the key: gpg (git.asc, passphrase) or ssh (identity, password).
	// +optional
	// +kubebuilder:validation:Enum=gpg;ssh
	// +kubebuilder:default=gpg
	Type string `json:"type,omitempty"`
	// SecretRef names a Secret of this namespace.
	// +required
	SecretRef meta.LocalObjectReference `json:"secretRef"`
}

// GitPush says where a commit goes.
//
// +kubebuilder:validation:XValidation:rule="has(self.branch) || has(self.refspec)",message="set branch, refspec or both"
type GitPush struct {
	// Branch to push to. One that is not the checked-out branch is made anew
	// from it, and overwritten.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch,omitempty"`
	// Refspec is pushed too, such as refs/heads/main:refs/for/main.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Refspec string `json:"refspec,omitempty"`
	// Options are push options, such as merge_request.create.
	// +optional
	Options map[string]string `json:"options,omitempty"`
}
