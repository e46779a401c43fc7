package sops

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	sopsapi "github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/cmd/sops/common"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keyservice"
	yamlstore "github.com/getsops/sops/v3/stores/yaml"
)

// verify says whether an encrypted manifest is what may be committed: all values of the valueFields encrypted,
// everything else as in the plaintext, and the whole decrypting to the plaintext with a MAC that fits.
func verify(store *yamlstore.Store, plaintext, encrypted, key []byte) error {
	want, err := store.LoadPlainFile(plaintext)
	if err != nil {
		return yamlError(err)
	}
	if _, err := parseDocument(encrypted); err != nil {
		return fmt.Errorf("what SOPS wrote cannot be read again: %w", err)
	}
	tree, err := store.LoadEncryptedFile(encrypted)
	if err != nil || len(tree.Branches) != 1 || len(want) != 1 {
		return errors.New("what SOPS wrote cannot be read again")
	}
	if err := compare(want[0], tree.Branches[0]); err != nil {
		return err
	}
	tree.Metadata.DataKey = key
	if _, err := common.DecryptTree(common.DecryptTreeOpts{Tree: &tree, Cipher: aes.NewCipher()}); err != nil || !reflect.DeepEqual(withoutComments(want[0]), withoutComments(tree.Branches[0])) {
		return errors.New("what SOPS wrote does not decrypt to what it was given")
	}
	return nil
}

// compare says whether a manifest was encrypted where it has to be, and nowhere else.
func compare(plain, encrypted sopsapi.TreeBranch) error {
	plain, encrypted = withoutComments(plain), withoutComments(encrypted)
	if len(plain) != len(encrypted) {
		return errors.New("what SOPS wrote has other keys than what it was given")
	}
	for i, want := range plain {
		got := encrypted[i]
		if want.Key != got.Key {
			return errors.New("what SOPS wrote has other keys than what it was given")
		}
		if key, _ := want.Key.(string); slices.Contains(valueFields(), key) {
			if err := compareValues(want, got); err != nil {
				return err
			}
		} else if !reflect.DeepEqual(want.Value, got.Value) {
			return fmt.Errorf("the rule would encrypt %s, which must stay readable: %w", want.Key, ErrScope)
		}
	}
	return nil
}

// compareValues says whether all values of one of the valueFields were encrypted. SOPS leaves an empty text as it is.
func compareValues(want, got sopsapi.TreeItem) error {
	plain, ok := want.Value.(sopsapi.TreeBranch)
	encrypted, okay := got.Value.(sopsapi.TreeBranch)
	if !ok || !okay || len(plain) != len(encrypted) {
		return fmt.Errorf("what SOPS wrote has other keys in %s than what it was given", want.Key)
	}
	for i, item := range plain {
		before, _ := item.Value.(string)
		after, isText := encrypted[i].Value.(string)
		if item.Key != encrypted[i].Key || !isText {
			return fmt.Errorf("what SOPS wrote has other keys in %s than what it was given", want.Key)
		}
		if before != "" && (before == after || !encryptedValue.MatchString(after)) || before == "" && after != "" {
			return fmt.Errorf("the rule would leave %s.%s in plaintext: %w", want.Key, item.Key, ErrScope)
		}
	}
	return nil
}

// withoutComments returns a mapping and what is below it without comments, whose places YAML does not keep exactly.
func withoutComments(branch sopsapi.TreeBranch) sopsapi.TreeBranch {
	out := sopsapi.TreeBranch{}
	for _, item := range branch {
		if _, isComment := item.Key.(sopsapi.Comment); !isComment {
			out = append(out, sopsapi.TreeItem{Key: item.Key, Value: valueWithoutComments(item.Value)})
		}
	}
	return out
}

// valueWithoutComments is withoutComments for a value of any kind.
func valueWithoutComments(value any) any {
	switch value := value.(type) {
	case sopsapi.TreeBranch:
		return withoutComments(value)
	case []any:
		out := []any{}
		for _, item := range value {
			if _, isComment := item.(sopsapi.Comment); !isComment {
				out = append(out, valueWithoutComments(item))
			}
		}
		return out
	default:
		return value
	}
}

// Decrypt returns the plaintext of a SOPS document of YAML, whose MAC it checks, as the sops command does.
// Each of the identities is a text with one age identity a line, as an *.agekey of Flux's decryption Secret holds it.
// The error wraps [ErrUnreadable] when none of them can decrypt; no error holds a value or an identity.
func Decrypt(data []byte, identities ...[]byte) ([]byte, error) {
	keys, err := parseIdentities(identities)
	if err != nil {
		return nil, err
	}
	if _, err := parseDocument(data); err != nil {
		return nil, fmt.Errorf("cannot decrypt manifest: %w", err)
	}
	store := yamlstore.NewStore(&config.YAMLStoreConfig{})
	tree, err := store.LoadEncryptedFile(data)
	if err != nil {
		return nil, errors.New("cannot decrypt manifest: it is not a SOPS document")
	}
	if _, err := tree.Metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{ageService{keys}}, nil); err != nil {
		return nil, fmt.Errorf("cannot decrypt manifest: %w", ErrUnreadable)
	}
	if _, err := common.DecryptTree(common.DecryptTreeOpts{Tree: &tree, Cipher: aes.NewCipher()}); err != nil {
		return nil, errors.New("cannot decrypt manifest: it was changed after it was encrypted: take the one that was committed, or encrypt it again")
	}
	out, err := store.EmitPlainFile(tree.Branches)
	if err != nil {
		return nil, errors.New("cannot decrypt manifest: SOPS cannot write it as YAML")
	}
	return out, nil
}
