package sops

import (
	"errors"
	"fmt"
	"regexp"
)

var (
	// ErrNoRules is returned (wrapped) when neither the folder of a file nor one above it, up to the repository's root, has a .sops.yaml.
	ErrNoRules = errors.New("the repository has no .sops.yaml there or above: add one, or name age recipients in the restore (spec.encryption.age.recipients)")
	// ErrNoMatch is the cause of a [RuleError] when no creation rule matches a path.
	ErrNoMatch = errors.New("no creation rule matches: add one whose path_regex matches this path, or correct a path_regex")
	// ErrKeyService is the cause (wrapped) of a [RuleError] when the rule needs anything but age to encrypt.
	ErrKeyService = errors.New("only age is supported: add a creation rule with age recipients only, before this one")
	// ErrScope is the cause (wrapped) of a [RuleError] when the rule encrypts too little of a manifest, or too much.
	ErrScope = errors.New("all values of data and stringData, and of binaryData in a ConfigMap, must be encrypted and nothing else: set encrypted_regex to ^(data|stringData|binaryData)$ in the rule, and no other of its kind")
	// ErrAlreadyEncrypted is the cause of a [ManifestError] when a manifest is a SOPS document already.
	ErrAlreadyEncrypted = errors.New("it is a SOPS document already (it has a top-level key sops): encrypt the plaintext instead")
)

// RuleError says that a repository's rules cannot be used as they are. Its owner has to change them.
type RuleError struct {
	Config string // the path of the .sops.yaml, relative to the repository's root
	Rule   int    // which creation rule, counted from 1; 0 when it is not about one of them
	Path   string // the file that was to be encrypted, relative to the repository's root
	Err    error
}

func (e *RuleError) Error() string {
	if e.Rule == 0 {
		return fmt.Sprintf("cannot encrypt %q by %q: %v", e.Path, e.Config, e.Err)
	}
	return fmt.Sprintf("cannot encrypt %q by creation rule %d of %q: %v", e.Path, e.Rule, e.Config, e.Err)
}
func (e *RuleError) Unwrap() error { return e.Err }

// RecipientError says that a recipient cannot be used. It does not repeat the recipient, which may be a private key given by mistake.
type RecipientError struct {
	Index int // which recipient, counted from 1
	Err   error
}

func (e *RecipientError) Error() string {
	return fmt.Sprintf("cannot encrypt for age recipient %d: %v", e.Index, e.Err)
}
func (e *RecipientError) Unwrap() error { return e.Err }

// ManifestError says that a manifest is none that can be encrypted. It names keys and lines, never values.
type ManifestError struct {
	Path string // relative to the repository's root
	Err  error
}

func (e *ManifestError) Error() string {
	return fmt.Sprintf("cannot encrypt %q: %v", e.Path, e.Err)
}
func (e *ManifestError) Unwrap() error { return e.Err }

var lineOf = regexp.MustCompile(`\bline \d+\b`)

// yamlError tells where a text is no YAML. The parser's own words are left out: they quote the text, and so a Secret.
func yamlError(err error) error {
	if line := lineOf.FindString(err.Error()); line != "" {
		return fmt.Errorf("it is malformed YAML (%s)", line)
	}
	return errors.New("it is malformed YAML")
}
