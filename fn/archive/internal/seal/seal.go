// Package seal turns plaintext into age streams for fixed recipients, and back.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"filippo.io/age"

	"threescale.dev/backup/fn/recipients"
)

// Chunk is the bytes of plaintext in a chunk of an age stream.
const Chunk = 64 << 10

const chunkTag = 16 // bytes that each chunk grows by

// ErrNoIdentity says that no identity can decrypt a stream.
var ErrNoIdentity = errors.New("no identity can decrypt it")

// Sealer encrypts for a fixed set of recipients; a nil sealer leaves plaintext.
type Sealer struct {
	Names      []string // the recipients as age prints them, sorted, without repetitions
	recipients []age.Recipient
	overhead   int64 // bytes of an age stream of nothing
}

// New checks the recipients, also that age can combine them, so that nothing is found out half-way.
func New(texts []string) (*Sealer, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	parsed, err := ParseRecipients(texts)
	if err != nil {
		return nil, err
	}
	named := make(map[string]age.Recipient, len(parsed))
	for i, r := range parsed {
		name := texts[i]
		if printed, ok := r.(fmt.Stringer); ok {
			name = printed.String()
		}
		named[name] = r
	}
	s := &Sealer{Names: slices.Sorted(maps.Keys(named))}
	for _, name := range s.Names {
		s.recipients = append(s.recipients, named[name])
	}
	empty, err := s.Seal(nil)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt for the recipients: %w", err)
	}
	s.overhead = int64(len(empty))
	return s, nil
}

// StoredSize returns the bytes that a file of the given size is stored in.
func (s *Sealer) StoredSize(size int64) int64 {
	if s == nil {
		return size
	}
	return s.overhead + size + max(0, (size-1)/Chunk)*chunkTag
}

// ParseRecipients accepts the recipients that a backup can be encrypted for. An error repeats none of them.
func ParseRecipients(texts []string) ([]age.Recipient, error) {
	parsed, err := recipients.Parse(texts)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt for the recipients: %w", err)
	}
	return parsed, nil
}

// Encrypt returns a writer of plaintext whose stream goes to dst. The sealer must not be nil.
func (s *Sealer) Encrypt(dst io.Writer) (io.WriteCloser, error) {
	return age.Encrypt(dst, s.recipients...)
}

// Seal returns the stored form of an object.
func (s *Sealer) Seal(data []byte) ([]byte, error) {
	if s == nil {
		return data, nil
	}
	var b bytes.Buffer
	w, err := s.Encrypt(&b)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

// Open returns a reader of the plaintext of an age stream. ErrNoIdentity (wrapped) tells that none of the identities
// fits.
func Open(r io.Reader, identities []age.Identity) (io.Reader, error) {
	if len(identities) == 0 {
		return nil, ErrNoIdentity
	}
	plain, err := age.Decrypt(r, identities...)
	if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
		return nil, fmt.Errorf("%w: %w", ErrNoIdentity, err)
	}
	return plain, err
}
