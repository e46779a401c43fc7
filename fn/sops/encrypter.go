package sops

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	sopsapi "github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/stores"
	"github.com/getsops/sops/v3/version"
)

// valueKeys matches the keys of values: a Secret's, as Flux recommends it, and a ConfigMap's.
const valueKeys = "^(data|stringData|binaryData)$"

// sample is a Secret that is encrypted to see what a rule does before there is anything to encrypt. Like those of a cluster it has no stringData.
const sample = `apiVersion: v1
data:
  DATABASE_URL: c2FtcGxl
  password: c2FtcGxl
kind: Secret
metadata:
  annotations:
    example.org/name: sample
  labels:
    app: sample
  name: sample
  namespace: sample
type: Opaque
`

// Encrypter encrypts manifests by one set of rules. It holds no keys and can be used at the same time by several goroutines.
type Encrypter struct {
	rule func(file string) (rule, error)
}

// ForRecipients returns an Encrypter for age recipients (age1..., age1pq1...) or SSH public keys (ssh-ed25519, ssh-rsa), each of whom
// can decrypt alone. It encrypts data, stringData and binaryData; a kustomize overlay that changes metadata does not invalidate the result.
// No error repeats a recipient, which may be a private key given by mistake.
//
// Flux decrypts with age identities only: at least one recipient should be age's own.
func ForRecipients(recipients []string) (*Encrypter, error) {
	if len(recipients) == 0 {
		return nil, errors.New("there are no age recipients to encrypt for: name at least one (age1...)")
	}
	if _, err := keyGroups([][]string{recipients}); err != nil {
		return nil, err
	}
	groups := [][]string{unique(recipients)}
	slices.Sort(groups[0])
	r := rule{groups: groups, scope: scope{EncryptedRegex: valueKeys}, macOnly: true}
	return &Encrypter{rule: func(string) (rule, error) { return r, nil }}, nil
}

// ForRepository returns an Encrypter by the creation rules of a repository: those of the nearest .sops.yaml from a file's folder up to the
// root, which are what the sops command finds when it is run in that folder. Rules are read at each call.
//
// root is the repository's worktree, best [os.Root.FS], which no path can leave. Nothing is read through a symlink.
// [fs.ReadLinkFS] must tell of symlinks if the file system has any.
func ForRepository(root fs.FS) *Encrypter {
	return &Encrypter{rule: func(file string) (rule, error) {
		name, data, err := findConfig(root, file)
		if err != nil {
			return rule{}, err
		}
		r, err := chooseRule(name, data, file)
		if err != nil {
			return rule{}, ruleError(name, r.number, file, err)
		}
		return r, nil
	}}
}

// Encrypt returns the encrypted manifest of one Secret or ConfigMap for the file at path, which is relative to the repository's root and has slashes.
// The result differs at each call, even for the same plaintext.
// An error wraps [ErrNoRules], [ErrNoMatch], [ErrKeyService] or [ErrScope] when the repository's rules must be changed. It names keys
// and lines of the plaintext, never a value.
func (e *Encrypter) Encrypt(path string, plaintext []byte) ([]byte, error) {
	if !fs.ValidPath(path) || path == "." {
		return nil, fmt.Errorf("cannot encrypt %q: the path must be relative to the repository's root, without .. or a leading slash", path)
	}
	r, err := e.rule(path)
	if err != nil {
		return nil, err
	}
	out, err := r.encrypt(path, plaintext)
	switch {
	case err == nil:
		return out, nil
	case r.config != "" && errors.Is(err, ErrScope):
		return nil, ruleError(r.config, r.number, path, err)
	}
	return nil, fmt.Errorf("cannot encrypt %q: %w", path, err)
}

// Recipients returns for whom the file at path will be encrypted, sorted, without repetitions. It also encrypts a made-up Secret by the rule:
// an error is what [Encrypter.Encrypt] would return, before there is anything to encrypt.
// With key groups, no one recipient may suffice to decrypt.
func (e *Encrypter) Recipients(path string) ([]string, error) {
	if _, err := e.Encrypt(path, []byte(sample)); err != nil {
		return nil, err
	}
	r, err := e.rule(path)
	if err != nil {
		return nil, err
	}
	out := slices.Concat(r.groups...)
	slices.Sort(out)
	return slices.Compact(out), nil
}

// encrypt checks and encrypts a manifest, reads the result again and compares.
func (r rule) encrypt(path string, plaintext []byte) ([]byte, error) {
	root, err := checkManifest(plaintext)
	if err != nil {
		return nil, err
	}
	groups, err := keyGroups(r.groups)
	if err != nil {
		return nil, err
	}
	plain, err := branchOf(root)
	if err != nil {
		return nil, err
	}
	tree := sopsapi.Tree{Branches: sopsapi.TreeBranches{plain}, FilePath: path, Metadata: sopsapi.Metadata{
		KeyGroups:               groups,
		ShamirThreshold:         r.threshold,
		UnencryptedSuffix:       r.scope.UnencryptedSuffix,
		EncryptedSuffix:         r.scope.EncryptedSuffix,
		UnencryptedRegex:        r.scope.UnencryptedRegex,
		EncryptedRegex:          r.scope.EncryptedRegex,
		UnencryptedCommentRegex: r.scope.UnencryptedCommentRegex,
		EncryptedCommentRegex:   r.scope.EncryptedCommentRegex,
		MACOnlyEncrypted:        r.macOnly,
		Version:                 version.Version,
	}}
	key, errs := tree.GenerateDataKeyWithKeyServices([]keyservice.KeyServiceClient{ageService{}})
	if len(errs) > 0 {
		return nil, fmt.Errorf("the data key cannot be encrypted: %w", errors.Join(errs...))
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(key, cipher)
	if err != nil {
		return nil, errors.New("SOPS cannot encrypt it") // its own words may hold values
	}
	tree.Metadata.LastModified = time.Now().UTC()
	if tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, key, tree.Metadata.LastModified.Format(time.RFC3339)); err != nil {
		return nil, errors.New("SOPS cannot encrypt the MAC")
	}
	branches, err := stores.SerializeMetadata(tree, stores.MetadataOpts{})
	if err != nil || len(branches) != 1 {
		return nil, errors.New("SOPS cannot write its metadata")
	}
	out, err := emit(branches[0], r.indent)
	if err != nil {
		return nil, errors.New("it cannot be written as YAML") // as above
	}
	return out, verify(root, out, key)
}
