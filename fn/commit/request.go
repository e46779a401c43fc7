package commit

import (
	"encoding/json"

	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
)

// Request asks for one thing to be done with what a tenant wrote. It is a value that goes to a child process as JSON, and holds all
// that it takes, logins too: who does it needs no cluster.
type Request struct {
	Build   *TreeInput
	Inspect *Place
	Publish *Publication
}

// TreeInput is what a tree is made of.
type TreeInput struct {
	Input overlay.Input // without its Objects
	// Objects are those of Input, each as JSON.
	Objects []json.RawMessage
}

// Place is where a restore commits to, and what is known of its files before there are any.
type Place struct {
	Target publish.Target
	// Proxy is the data of the proxy's Secret, from which Target.ProxyURL is made; nil without one.
	Proxy map[string][]byte
	// GitHubApp says that Target.Auth has the data of a GitHub App, and not a login.
	GitHubApp bool
	Trailer   publish.Trailer
	// Root is the folder that base and overlays lie in, "." for the repository's own.
	Root            string
	Name, Namespace string
	// Recipients to encrypt for; nil for the rules in the repository.
	Recipients []string
	// Ignore is the spec.ignore of the GitRepository; nil without one.
	Ignore *string
	// Plain and Sensitive are the objects that may be among those of a restore: the latter are encrypted.
	Plain, Sensitive []overlay.Key
	// Signing is who signs; nil for nobody.
	Signing *SigningKey
}

// SigningKey is the data of a Secret with a key that signs commits.
type SigningKey struct {
	SSH  bool // else OpenPGP
	Data map[string][]byte
}

// Publication is a commit.
type Publication struct {
	Place
	TreeInput

	AuthorName, AuthorEmail string
	// Template of the message, and what it is rendered with.
	Template string
	Message  Message
}

// Message is what a message's template can say.
type Message struct {
	Restore, Source map[string]string
	Run             string
	Objects         int
	Values          map[string]string
}

func (m Message) data() map[string]any {
	return map[string]any{"Restore": m.Restore, "Run": m.Run, "Source": m.Source, "Objects": m.Objects, "Values": m.Values}
}

// Answer to a Request: a Failure, or what was asked for.
type Answer struct {
	Tree      *BuiltTree
	Branch    *Branch
	Published *publish.Result
	Failure   *Failure
}

// BuiltTree is an overlay.Tree without its files.
type BuiltTree struct {
	overlay.Tree

	// Objects are those of the tree, each as JSON.
	Objects []json.RawMessage
}

// Branch is what a branch says.
type Branch struct {
	publish.Result

	// Written says that the restore's folder is there.
	Written bool
	// Problem is what keeps a commit from being made, or from being seen by Flux; nil if nothing does.
	Problem *Failure
	// Unsigned is why it could not be signed; nil if it could.
	Unsigned *Failure
}

// Kind says what a Failure is about.
type Kind string

// The kinds.
const (
	TreeRefused       Kind = "TreeRefused"       // the objects are none that a backup holds
	TextUnsupported   Kind = "TextUnsupported"   // a text would be lost on the way
	NoRecipients      Kind = "NoRecipients"      // nobody is known to encrypt for
	EncryptionRefused Kind = "EncryptionRefused" // a rule or a recipient cannot be used
	FolderTaken       Kind = "FolderTaken"       // the folders are somebody else's
	FileIgnored       Kind = "FileIgnored"       // Flux does not fetch a file, whose path is the message
	GitFailed         Kind = "GitFailed"         // see Failure.Reason
	Crashed           Kind = "Crashed"           // a fault of this program
)

// Failure is an error as a value. Its message is for users, and holds no value of a Secret.
type Failure struct { //nolint:errname // it is a value of an Answer first, and an error where one is returned
	Kind    Kind
	Reason  publish.Reason // of GitFailed
	Message string
}

func (f *Failure) Error() string { return f.Message }
