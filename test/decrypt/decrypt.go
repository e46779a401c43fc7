// Package decrypt reads what SOPS encrypted for age, with the library that the sops command is made of. The product never decrypts.
package decrypt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	sopsapi "github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/stores"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
)

// ErrUnreadable is returned (wrapped) when none of the identities can decrypt.
var ErrUnreadable = errors.New("none of the identities can decrypt it")

// Document returns the plaintext of a document of YAML, whose MAC it checks; comments are left out. Each of the identities is a text with
// one age identity a line, as an *.agekey of Flux' decryption Secret holds it.
func Document(data []byte, identities ...[]byte) ([]byte, error) {
	var keys ageService
	for _, text := range identities {
		if err := keys.identities.Import(strings.Split(string(text), "\n")...); err != nil {
			return nil, fmt.Errorf("cannot use an identity: %w", err)
		}
	}
	tree, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read a document: %w", err)
	}
	key, err := tree.Metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{keys}, sopsapi.DefaultDecryptionOrder)
	if err != nil {
		return nil, ErrUnreadable
	}
	cipher := aes.NewCipher()
	computed, err := tree.Decrypt(key, cipher)
	if err != nil {
		return nil, fmt.Errorf("cannot decrypt: %w", err)
	}
	mac, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil || mac != computed {
		return nil, errors.Join(errors.New("cannot decrypt: the MAC does not fit"), err)
	}
	plain, err := sopsapi.EmitAsMap(tree.Branches)
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(plain)
}

// parse reads a document.
func parse(data []byte) (sopsapi.Tree, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return sopsapi.Tree{}, err
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return sopsapi.Tree{}, errors.New("it is not a mapping")
	}
	root, err := value(document.Content[0])
	if err != nil {
		return sopsapi.Tree{}, err
	}
	branches, metadata, err := stores.ExtractMetadata(sopsapi.TreeBranches{root.(sopsapi.TreeBranch)}, stores.MetadataOpts{}) //nolint:forcetypeassert // it is a mapping
	return sopsapi.Tree{Branches: branches, Metadata: metadata}, err
}

// value makes SOPS' form of a node.
func value(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		branch := sopsapi.TreeBranch{}
		for i := 0; i < len(n.Content); i += 2 {
			child, err := value(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			branch = append(branch, sopsapi.TreeItem{Key: n.Content[i].Value, Value: child})
		}
		return branch, nil
	case yaml.SequenceNode:
		var list []any
		for _, item := range n.Content {
			child, err := value(item)
			if err != nil {
				return nil, err
			}
			list = append(list, child)
		}
		return list, nil
	default:
		var out any
		err := n.Decode(&out)
		return out, err
	}
}

// ageService decrypts data keys with identities, and does not look for others in the environment.
type ageService struct {
	keyservice.KeyServiceClient

	identities age.ParsedIdentities
}

// Decrypt decrypts one data key.
func (s ageService) Decrypt(_ context.Context, request *keyservice.DecryptRequest, _ ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	recipient := request.GetKey().GetAgeKey()
	if recipient == nil || len(s.identities) == 0 {
		return nil, ErrUnreadable
	}
	key := &age.MasterKey{Recipient: recipient.GetRecipient()}
	key.SetEncryptedDataKey(request.GetCiphertext())
	s.identities.ApplyToMasterKey(key)
	plaintext, err := key.Decrypt()
	return &keyservice.DecryptResponse{Plaintext: plaintext}, err
}
