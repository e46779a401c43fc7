package sops

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	sopsapi "github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/stores"
	"go.yaml.in/yaml/v3"
)

// verify fails unless an encrypted manifest is what may be committed: all values of the valueFields encrypted,
// everything else as in the plaintext, and the whole decrypting to the plaintext with a MAC that fits.
func verify(plaintext *yaml.Node, encrypted, key []byte) error {
	plain, err := branchOf(plaintext)
	if err != nil {
		return err
	}
	root, err := parseDocument(encrypted)
	if err != nil {
		return fmt.Errorf("what SOPS wrote cannot be read again: %w", err)
	}
	again, err := branchOf(root)
	if err != nil {
		return fmt.Errorf("what SOPS wrote cannot be read again: %w", err)
	}
	branches, metadata, err := stores.ExtractMetadata(sopsapi.TreeBranches{again}, stores.MetadataOpts{})
	if err != nil || len(branches) != 1 {
		return errors.New("what SOPS wrote cannot be read again")
	}
	if err := compare(plain, branches[0]); err != nil {
		return err
	}
	tree := sopsapi.Tree{Branches: branches, Metadata: metadata}
	cipher := aes.NewCipher()
	computed, err := tree.Decrypt(key, cipher)
	if err != nil || !reflect.DeepEqual(plain, branches[0]) {
		return errors.New("what SOPS wrote does not decrypt to what it was given")
	}
	mac, err := cipher.Decrypt(metadata.MessageAuthenticationCode, key, metadata.LastModified.Format(time.RFC3339))
	if err != nil || mac != computed {
		return errors.New("what SOPS wrote has a MAC that does not fit")
	}
	return nil
}

// compare fails unless a manifest was encrypted where it has to be, and nowhere else.
func compare(plain, encrypted sopsapi.TreeBranch) error {
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

// compareValues fails unless all values of one of the valueFields were encrypted. SOPS leaves an empty text as it is.
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
