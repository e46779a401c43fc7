// Package seal turns plaintext into age streams for fixed recipients, and back.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
	s := &Sealer{}
	var err error
	if s.Names, err = canonicalRecipients(texts); err != nil {
		return nil, err
	}
	if s.recipients, err = ParseRecipients(s.Names); err != nil {
		return nil, err
	}
	var empty counter
	w, err := s.Encrypt(&empty)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt for the recipients: %w", err)
	}
	s.overhead = int64(empty)
	return s, nil
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// StoredSize returns the bytes that a file of the given size is stored in.
func (s *Sealer) StoredSize(size int64) int64 {
	if s == nil {
		return size
	}
	return s.overhead + size + max(0, (size-1)/Chunk)*chunkTag
}

// canonicalRecipients returns the recipients in the form that age prints, sorted and without repetitions.
func canonicalRecipients(texts []string) ([]string, error) {
	names := make([]string, 0, len(texts))
	parsed, err := ParseRecipients(texts)
	if err != nil {
		return nil, err
	}
	for i, r := range parsed {
		name := texts[i]
		if s, ok := r.(fmt.Stringer); ok {
			name = s.String()
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
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
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Open returns a reader of the plaintext of an age stream. ErrNoIdentity (wrapped) tells that none of the identities fits.
func Open(r io.Reader, identities []age.Identity) (io.Reader, error) {
	if len(identities) == 0 {
		return nil, ErrNoIdentity
	}
	plain, err := age.Decrypt(r, identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fmt.Errorf("%w: %w", ErrNoIdentity, err)
	}
	return plain, err
}
