package sops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	sopsapi "github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"

	"threescale.dev/backup/fn/recipients"
)

// masterKey returns the key of a recipient: an X25519 key of age (age1...), a hybrid one (age1pq1...) or a public key of SSH.
// No error repeats the recipient.
func masterKey(recipient string) (*age.MasterKey, error) {
	recipient = strings.TrimSpace(recipient)
	if recipient == "" {
		return nil, errors.New("it is empty: remove it, or give an age recipient (age1...)")
	}
	if err := recipients.Refuse(recipient); err != nil {
		return nil, fmt.Errorf("it %w", err)
	}
	key, err := age.MasterKeyFromRecipient(recipient)
	if err != nil {
		return nil, errors.New("it is malformed: give a recipient of age (age1...) or an SSH public key (ssh-ed25519 or ssh-rsa)")
	}
	return key, nil
}

// keyGroups returns new keys for groups of recipients: whoever encrypts stores the encrypted data key in them.
func keyGroups(groups [][]string) ([]sopsapi.KeyGroup, error) {
	var out []sopsapi.KeyGroup
	for _, texts := range groups {
		var group sopsapi.KeyGroup
		for i, recipient := range texts {
			key, err := masterKey(recipient)
			if err != nil {
				return nil, fmt.Errorf("cannot encrypt for age recipient %d: %w", i+1, err)
			}
			group = append(group, key)
		}
		out = append(out, group)
	}
	return out, nil
}

// unique trims recipients and leaves out repetitions; the first of each stays where it is.
func unique(texts []string) []string {
	var out []string
	for _, recipient := range texts {
		if recipient = strings.TrimSpace(recipient); !slices.Contains(out, recipient) {
			out = append(out, recipient)
		}
	}
	return out
}

// ageService is the only key service there is: it encrypts data keys with age in this process, and refuses all other keys.
type ageService struct{}

// Encrypt encrypts a data key for an age recipient.
func (ageService) Encrypt(_ context.Context, request *keyservice.EncryptRequest, _ ...grpc.CallOption) (*keyservice.EncryptResponse, error) {
	recipient := request.GetKey().GetAgeKey()
	if recipient == nil {
		return nil, ErrKeyService
	}
	key, err := masterKey(recipient.GetRecipient())
	if err != nil {
		return nil, err
	}
	if err := key.Encrypt(request.GetPlaintext()); err != nil {
		return nil, err
	}
	return &keyservice.EncryptResponse{Ciphertext: key.EncryptedDataKey()}, nil
}

// Decrypt refuses: nothing is decrypted here.
func (ageService) Decrypt(context.Context, *keyservice.DecryptRequest, ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	return nil, ErrKeyService
}
