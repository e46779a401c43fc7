package v1alpha1

import "github.com/fluxcd/pkg/apis/meta"

// Git says how to check out, commit and push.
type Git struct {
	// What to start from; the branch that the GitRepository follows by default.
	// +optional
	Checkout *GitCheckout `json:"checkout,omitempty"`
	// How the commit is made.
	// +optional
	Commit GitCommit `json:"commit,omitempty,omitzero"`
	// Where the commit goes; to the branch that was checked out by default.
	// +optional
	Push *GitPush `json:"push,omitempty"`
}

// GitCheckout says what to start from.
type GitCheckout struct {
	// The branch to start from.
	// +required
	Reference GitBranch `json:"ref"`
}

// GitBranch names a branch.
type GitBranch struct {
	// Name of the branch to check out.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch"`
}

// GitCommit says how the commit is made.
type GitCommit struct {
	// Author of the commit; threescale-backup by default.
	// +optional
	Author GitAuthor `json:"author,omitempty,omitzero"`
	// Template of the commit message (text/template of Go), with the functions of
	// ImageUpdateAutomation. It sees .Restore (Namespace, Name), .Run, .Source
	// (Namespace, APIManager), .Objects (how many) and .Values. By default the
	// message names the APIManager, the run and the restore.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	MessageTemplate string `json:"messageTemplate,omitempty"`
	// What the template sees as .Values.
	// +optional
	MessageTemplateValues map[string]string `json:"messageTemplateValues,omitempty"`
	// Key that signs the commit; unsigned without it.
	// +optional
	SigningKey *GitSigningKey `json:"signingKey,omitempty"`
}

// GitAuthor is the author of a commit.
type GitAuthor struct {
	// Name of the author; threescale-backup by default.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// E-mail address of the author; threescale-backup@localhost by default.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Email string `json:"email,omitempty"`
}

// GitSigningKey signs commits.
type GitSigningKey struct {
	// Kind of the key: gpg (in the Secret git.asc and, if needed, passphrase) or ssh
	// (identity and password).
	// +optional
	// +kubebuilder:validation:Enum=gpg;ssh
	// +kubebuilder:default=gpg
	Type string `json:"type,omitempty"`
	// Secret of this namespace that holds the key.
	// +required
	SecretRef meta.LocalObjectReference `json:"secretRef"`
}

// GitPush says where a commit goes.
//
// +kubebuilder:validation:XValidation:rule="has(self.branch) || has(self.refspec)",message="set branch, refspec or both"
type GitPush struct {
	// Name of the branch to push to. One that is not the branch that was checked out
	// is made anew from it, and overwritten.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch,omitempty"`
	// Refspec that is pushed too, such as refs/heads/main:refs/for/main.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Refspec string `json:"refspec,omitempty"`
	// Push options that the server understands, such as merge_request.create.
	// +optional
	Options map[string]string `json:"options,omitempty"`
}
