package sops

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// rule says how one file is encrypted.
type rule struct {
	config string // the .sops.yaml that it is from; empty when the recipients were given
	number int    // which of its creation rules, counted from 1

	groups    [][]string // recipients; with more than one group, those of threshold groups are needed together to decrypt
	threshold int        // 0: all groups
	scope     scope
	macOnly   bool // the MAC is over the encrypted values only, so that a kustomize overlay does not invalidate it
	indent    int  // of the YAML that is written; 0: as SOPS does
}

// scope is what a rule says of which values are encrypted. SOPS allows one of them at a time, and takes none as everything.
type scope struct {
	UnencryptedSuffix       string `yaml:"unencrypted_suffix"`
	EncryptedSuffix         string `yaml:"encrypted_suffix"`
	UnencryptedRegex        string `yaml:"unencrypted_regex"`
	EncryptedRegex          string `yaml:"encrypted_regex"`
	UnencryptedCommentRegex string `yaml:"unencrypted_comment_regex"`
	EncryptedCommentRegex   string `yaml:"encrypted_comment_regex"`
}

// configFile is a .sops.yaml as SOPS reads it. Keys of the top level that it does not know are the repository's own.
type configFile struct {
	CreationRules []creationRule `yaml:"creation_rules"`
	Stores        struct {
		YAML struct {
			Indent int `yaml:"indent"`
		} `yaml:"yaml"`
	} `yaml:"stores"`
}

// creationRule is one of a .sops.yaml's creation_rules.
type creationRule struct {
	PathRegex        string     `yaml:"path_regex"`
	Age              any        `yaml:"age"` // a text with commas, or a list
	KeyGroups        []keyGroup `yaml:"key_groups"`
	ShamirThreshold  int        `yaml:"shamir_threshold"`
	Scope            scope      `yaml:",inline"`
	MACOnlyEncrypted bool       `yaml:"mac_only_encrypted"`
	AWSProfile       any        `yaml:"aws_profile"` // says nothing without kms, which is one of Other

	Other map[string]any `yaml:",inline"` // all else: the keys of other key services, those of newer versions, and typing mistakes
}

// keyGroup is one of a rule's key_groups.
type keyGroup struct {
	Merge []keyGroup     `yaml:"merge"`
	Age   []string       `yaml:"age"` // texts with commas
	Other map[string]any `yaml:",inline"`
}

// chooseRule returns the rule of a .sops.yaml for a file. Both paths are relative to the repository's root.
func chooseRule(config string, data []byte, file string) (rule, error) {
	var decoded configFile
	if err := yaml.Unmarshal(data, &decoded); err != nil {
		return rule{}, yamlError(err)
	}
	if decoded.CreationRules == nil {
		return rule{}, errors.New("it has no creation_rules: add one, or remove the file, so that those of a folder above apply")
	}
	if decoded.Stores.YAML.Indent < 0 {
		return rule{}, errors.New("its stores.yaml.indent is negative: remove it")
	}
	relative := file
	if dir := path.Dir(config); dir != "." {
		relative = strings.TrimPrefix(file, dir+"/")
	}
	for i, r := range decoded.CreationRules {
		// In the order of SOPS, which does not look at the rules after the one that matches.
		matches, err := regexp.MatchString(r.PathRegex, relative)
		if err == nil && !matches {
			continue
		}
		out := rule{config: config, number: i + 1, threshold: r.ShamirThreshold, scope: r.Scope, macOnly: r.MACOnlyEncrypted, indent: decoded.Stores.YAML.Indent}
		if err != nil {
			return out, errors.New("its path_regex is no regular expression of Go: correct it")
		}
		if out.groups, err = r.recipients(); err != nil {
			return out, err
		}
		return out, r.Scope.check()
	}
	return rule{}, ErrNoMatch
}

// check fails unless SOPS accepts the scope. SOPS itself takes a malformed expression for one that matches nothing.
func (s scope) check() error {
	given := 0
	for _, text := range []string{s.UnencryptedSuffix, s.EncryptedSuffix, s.UnencryptedRegex, s.EncryptedRegex, s.UnencryptedCommentRegex, s.EncryptedCommentRegex} {
		if text != "" {
			given++
		}
	}
	switch given {
	case 0:
		return fmt.Errorf("it has no encrypted_regex and so encrypts the whole file, which kustomize cannot read: %w", ErrScope)
	case 1:
	default:
		return fmt.Errorf("it has %d settings of what to encrypt, where SOPS allows one: %w", given, ErrScope)
	}
	for _, expression := range []string{s.UnencryptedRegex, s.EncryptedRegex, s.UnencryptedCommentRegex, s.EncryptedCommentRegex} {
		if _, err := regexp.Compile(expression); err != nil {
			return fmt.Errorf("its setting of what to encrypt is no regular expression of Go: %w", ErrScope)
		}
	}
	return nil
}

// recipients returns a rule's recipients by group, checked. As SOPS does, it passes over the rule's own age when there are key_groups.
func (r creationRule) recipients() ([][]string, error) {
	if err := onlyAge(r.Other); err != nil {
		return nil, err
	}
	var groups [][]string
	for _, g := range r.KeyGroups {
		recipients, err := g.recipients()
		if err != nil {
			return nil, err
		}
		groups = append(groups, unique(recipients))
	}
	if len(groups) == 0 {
		recipients, err := recipientsOf(r.Age)
		if err != nil {
			return nil, err
		}
		groups = [][]string{unique(recipients)}
	}
	for i, recipients := range groups {
		if len(recipients) == 0 {
			return nil, fmt.Errorf("key group %d of %d has no age recipients: add some (age1...)", i+1, len(groups))
		}
	}
	if n := len(groups); n > 1 && r.ShamirThreshold != 0 && (r.ShamirThreshold < 2 || r.ShamirThreshold > n) {
		return nil, fmt.Errorf("its shamir_threshold must be between 2 and the number of its key groups, %d: correct it", n)
	}
	if n := len(groups); n > 255 {
		return nil, fmt.Errorf("it has %d key groups, where SOPS allows 255: remove some", n)
	}
	_, err := keyGroups(groups)
	return groups, err
}

// recipients returns a group's recipients and those of the groups that it merges, in the order of SOPS.
func (g keyGroup) recipients() ([]string, error) {
	if err := onlyAge(g.Other); err != nil {
		return nil, err
	}
	var out []string
	for _, merged := range g.Merge {
		recipients, err := merged.recipients()
		if err != nil {
			return nil, err
		}
		out = append(out, recipients...)
	}
	for _, text := range g.Age {
		if text != "" {
			out = append(out, strings.Split(text, ",")...)
		}
	}
	return out, nil
}

// recipientsOf returns the recipients that a rule's age lists: in a text the empty ones do not count, in a list they are mistakes.
func recipientsOf(age any) ([]string, error) {
	switch age := age.(type) {
	case nil:
		return nil, nil
	case string:
		return slices.DeleteFunc(strings.Split(age, ","), func(s string) bool { return strings.TrimSpace(s) == "" }), nil
	case []any:
		var out []string
		for i, item := range age {
			text, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("cannot encrypt for age recipient %d: it is not a text: quote it", i+1)
			}
			out = append(out, strings.Split(text, ",")...)
		}
		return out, nil
	default:
		return nil, errors.New("its age is neither a text nor a list: correct it")
	}
}

// onlyAge fails if a rule or a key group needs what is not supported here, or has a key that no version of SOPS known here has.
func onlyAge(other map[string]any) error {
	var services, unknown []string
	for name, value := range other {
		switch name {
		case "kms", "gcp_kms", "hckms", "azure_keyvault", "hc_vault_transit_uri", "hc_vault", "pgp":
			if !isEmpty(value) {
				services = append(services, name)
			}
		default:
			unknown = append(unknown, name)
		}
	}
	slices.Sort(services)
	slices.Sort(unknown)
	if len(services) > 0 {
		return fmt.Errorf("it needs %s: %w", strings.Join(services, ", "), ErrKeyService)
	}
	if len(unknown) > 0 {
		return fmt.Errorf("it has the key %q, which is unknown: correct or remove it", unknown[0])
	}
	return nil
}

// isEmpty reports whether a list of keys names none.
func isEmpty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return value == ""
	case []any:
		return len(value) == 0
	default:
		return false
	}
}

// configName is the only name that SOPS knows: .sops.yml is ignored.
const configName = ".sops.yaml"

// maxConfig bounds what is read of a .sops.yaml: the largest known ones have some thousand lines.
const maxConfig = 256 << 10

// findConfig returns the path and the content of the nearest .sops.yaml, from the folder of a file up to the root.
// A symlink on the way is an error, not a place to look elsewhere: who follows it would find other rules.
func findConfig(root fs.FS, file string) (string, []byte, error) {
	for dir := path.Dir(file); ; dir = path.Dir(dir) {
		name := path.Join(dir, configName)
		found, err := isThere(root, name)
		switch {
		case err != nil:
			return "", nil, err
		case found:
			data, err := readConfig(root, name)
			return name, data, err
		case dir == ".":
			return "", nil, fmt.Errorf("cannot encrypt %q: %w", file, ErrNoRules)
		}
	}
}

// isThere reports whether there is a regular file. It fails for anything else of that name, and if one of the path's elements is a symlink.
func isThere(root fs.FS, name string) (bool, error) {
	elements := strings.Split(name, "/")
	for i := range elements {
		p := path.Join(elements[:i+1]...)
		info, err := fs.Lstat(root, p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("cannot look for SOPS rules at %q: %w", p, err)
		case info.Mode()&fs.ModeSymlink != 0:
			return false, fmt.Errorf("cannot look for SOPS rules at %q: %q is a symlink, which is never followed: replace it by what it points to", name, p)
		case p != name && !info.IsDir():
			return false, fmt.Errorf("cannot look for SOPS rules at %q: %q is not a directory: choose another path", name, p)
		case p == name && !info.Mode().IsRegular(): // found out before it is opened: opening a named pipe waits for its writer
			return false, fmt.Errorf("cannot read %q: it is not a regular file", name)
		}
	}
	return true, nil
}

// readConfig reads one .sops.yaml.
func readConfig(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot open %q: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", name, err)
	}
	if len(data) > maxConfig {
		return nil, fmt.Errorf("cannot read %q: it is larger than %d bytes: divide it, a .sops.yaml of a folder goes before those above it", name, maxConfig)
	}
	return data, nil
}
