package sops

import (
	"errors"
	"fmt"
	"regexp"
)

var (
	// ErrNoRules is returned (wrapped) when neither the folder of a file nor one above it, up to the repository's root, has a .sops.yaml.
	ErrNoRules = errors.New("the repository has no .sops.yaml there or above: add one, or name age recipients in the restore (spec.encryption.age.recipients)")
	// ErrNoMatch is returned (wrapped) when no creation rule matches a path.
	ErrNoMatch = errors.New("no creation rule matches: add one whose path_regex matches this path, or correct a path_regex")
	// ErrKeyService is returned (wrapped) when the rule needs anything but age to encrypt.
	ErrKeyService = errors.New("only age is supported: add a creation rule with age recipients only, before this one")
	// ErrScope is returned (wrapped) when the rule encrypts too little of a manifest, or too much.
	ErrScope = errors.New("all values of data and stringData, and of binaryData in a ConfigMap, must be encrypted and nothing else: set encrypted_regex to ^(data|stringData|binaryData)$ in the rule, and no other of its kind")
)

// ruleError says that a repository's rules cannot be used as they are. Both paths are relative to the repository's root; rules are
// counted from 1, and 0 means that the error is not about one of them.
func ruleError(config string, number int, file string, err error) error {
	if number == 0 {
		return fmt.Errorf("cannot encrypt %q by %q: %w", file, config, err)
	}
	return fmt.Errorf("cannot encrypt %q by creation rule %d of %q: %w", file, number, config, err)
}

var lineOf = regexp.MustCompile(`\bline \d+\b`)

// yamlError tells where a text is no YAML. The parser's own words are left out: they quote the text, and so a Secret.
func yamlError(err error) error {
	if line := lineOf.FindString(err.Error()); line != "" {
		return fmt.Errorf("it is malformed YAML (%s)", line)
	}
	return errors.New("it is malformed YAML")
}
