package archive

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
)

const (
	ageChunk    = 64 << 10 // bytes of plaintext in a chunk of an age stream
	ageChunkTag = 16       // bytes that each chunk grows by
)

// sealer encrypts for a fixed set of recipients; a nil sealer leaves plaintext.
type sealer struct {
	names      []string // as in Encryption
	recipients []age.Recipient
	overhead   int64 // bytes of an age stream of nothing
}

// newSealer checks the recipients, also that age can combine them, so that nothing is found out half-way.
func newSealer(recipients []string) (*sealer, error) {
	if len(recipients) == 0 {
		return nil, nil
	}
	s := &sealer{}
	var err error
	if s.names, err = canonicalRecipients(recipients); err != nil {
		return nil, err
	}
	if s.recipients, err = parseRecipients(s.names); err != nil {
		return nil, err
	}
	var empty counter
	w, err := age.Encrypt(&empty, s.recipients...)
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

// storedSize returns the bytes that a file of the given size is stored in.
func (s *sealer) storedSize(size int64) int64 {
	if s == nil {
		return size
	}
	return s.overhead + size + max(0, (size-1)/ageChunk)*ageChunkTag
}

// encryption returns what the manifest tells of the sealer.
func (s *sealer) encryption() *Encryption {
	if s == nil {
		return nil
	}
	return &Encryption{Recipients: s.names}
}

// sameAs tells if files of a run with the given encryption can be taken over.
func (s *sealer) sameAs(e *Encryption) bool {
	if s == nil || e == nil {
		return s == nil && e == nil
	}
	return slices.Equal(s.names, e.Recipients)
}

// canonicalRecipients returns the recipients in the form that age prints, sorted and without repetitions.
func canonicalRecipients(recipients []string) ([]string, error) {
	names := make([]string, 0, len(recipients))
	parsed, err := parseRecipients(recipients)
	if err != nil {
		return nil, err
	}
	for i, r := range parsed {
		name := recipients[i]
		if s, ok := r.(fmt.Stringer); ok {
			name = s.String()
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// parseRecipients accepts what age.ParseRecipients accepts, one recipient a string.
func parseRecipients(recipients []string) ([]age.Recipient, error) {
	if len(recipients) == 0 {
		return nil, errors.New("no recipients")
	}
	parsed := make([]age.Recipient, 0, len(recipients))
	for _, s := range recipients {
		one, err := age.ParseRecipients(strings.NewReader(s))
		if err != nil || len(one) != 1 {
			return nil, fmt.Errorf("cannot parse recipient %q: not one age recipient", s)
		}
		parsed = append(parsed, one...)
	}
	return parsed, nil
}

// seal returns the stored form of an object.
func (s *sealer) seal(data []byte) ([]byte, error) {
	if s == nil {
		return data, nil
	}
	var b strings.Builder
	w, err := age.Encrypt(&b, s.recipients...)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// unseal returns a reader of the plaintext of an age stream.
func unseal(r io.Reader, identities []age.Identity) (io.Reader, error) {
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
