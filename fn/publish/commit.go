package publish

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"
	"time"

	"github.com/fluxcd/pkg/git/signature"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Commit is what a commit says, and who signs it.
type Commit struct {
	AuthorName  string
	AuthorEmail string
	Message     string // see [RenderMessage]
	Trailer     Trailer
	Signer      signature.Signer // nil: not signed; see [OpenPGPSigner] and [SSHSigner]
}

// Trailer is the last line of a commit's message, "<key>: <subject> <value> [<note>]":
// the durable record that something was published. Of several trailers with
// one key and subject only the newest counts, so that what was published and
// then replaced can be published again. Without a key there is no record.
type Trailer struct {
	Key     string // letters, digits and dashes
	Subject string // one word: whose record it is
	Value   string // one word: what was published; "value+again" is the same, published once more
	Note    string // one line that is kept with it and not compared; may be empty
}

func (t Trailer) String() string {
	return strings.TrimSuffix(t.prefix()+t.Value+" "+t.Note, " ")
}

func (t Trailer) prefix() string { return t.Key + ": " + t.Subject + " " }

var (
	trailerKey  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
	trailerLine = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*: \S`)
)

// check refuses what could not be found again, or could pass for another's record.
func (c Commit) check() error {
	for _, field := range [][2]string{{"name", c.AuthorName}, {"email", c.AuthorEmail}} {
		if field[1] == "" || strings.ContainsAny(field[1], "<>\n\r\x00") {
			return fail(InvalidInput, "cannot commit: the author's %s must not be empty and must not contain < or > or line breaks", field[0])
		}
	}
	if strings.TrimSpace(c.Message) == "" || strings.ContainsRune(c.Message, 0) {
		return fail(InvalidInput, "cannot commit: the message is empty or contains a NUL")
	}
	if c.Trailer == (Trailer{}) {
		return nil
	}
	const maxTrailer = 1024
	t := c.Trailer
	oneLine := strings.Join(strings.Fields(t.Note), " ")
	if !trailerKey.MatchString(t.Key) || len(strings.Fields(t.Subject)) != 1 || t.Subject != strings.TrimSpace(t.Subject) ||
		len(strings.Fields(t.Value)) != 1 || t.Value != strings.TrimSpace(t.Value) || t.Note != oneLine || len(t.String()) > maxTrailer {
		return fail(InvalidInput, "cannot commit: malformed trailer %q", t.String())
	}
	for line := range lines(c.Message) {
		if len(line) > len(t.Key) && strings.EqualFold(line[:len(t.Key)+1], t.Key+":") {
			return fail(InvalidInput, "cannot commit: the message has a line that begins with %q, which is kept for the record that is added to it", t.Key+":")
		}
	}
	return nil
}

// lines iterates over the lines of a message, however they end.
func lines(message string) iter.Seq[string] {
	return strings.FieldsFuncSeq(message, func(r rune) bool { return r == '\n' || r == '\r' })
}

// message is the whole message: the trailer joins the trailers that the message ends with, if any.
func (c Commit) message() string {
	text := strings.TrimRight(strings.ReplaceAll(c.Message, "\r\n", "\n"), " \t\n") + "\n"
	if c.Trailer == (Trailer{}) {
		return text
	}
	paragraphs := strings.Split(strings.TrimRight(text, "\n"), "\n\n")
	joined := len(paragraphs) > 1
	for line := range lines(paragraphs[len(paragraphs)-1]) {
		joined = joined && trailerLine.MatchString(line)
	}
	if !joined {
		text += "\n"
	}
	return text + c.Trailer.String() + "\n"
}

// record returns the record of the trailer's subject in a message, the last one if there are several.
func (t Trailer) record(message string) (recorded Trailer, found bool) {
	for line := range lines(message) {
		if rest, ok := strings.CutPrefix(line, t.prefix()); ok {
			value, note, _ := strings.Cut(strings.TrimSpace(rest), " ")
			recorded, found = Trailer{t.Key, t.Subject, value, note}, true
		}
	}
	return recorded, found
}

// commit stores a commit of a tree and returns its name.
func (b *builder) commit(c Commit, root plumbing.Hash, parents []plumbing.Hash) (plumbing.Hash, error) {
	now := object.Signature{Name: c.AuthorName, Email: c.AuthorEmail, When: time.Now()}
	made := &object.Commit{Author: now, Committer: now, Message: c.message(), TreeHash: root, ParentHashes: parents}
	if c.Signer != nil {
		unsigned := &plumbing.MemoryObject{}
		if err := made.EncodeWithoutSignature(unsigned); err != nil {
			return plumbing.ZeroHash, fmt.Errorf("cannot encode the commit: %w", err)
		}
		reader, err := unsigned.Reader()
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("cannot encode the commit: %w", err)
		}
		signed, err := c.Signer.Sign(reader)
		if err = errors.Join(err, reader.Close()); err != nil {
			return plumbing.ZeroHash, fail(InvalidInput, "cannot sign the commit: check that the signing key can sign, and that it has not expired")
		}
		made.PGPSignature = string(signed)
	}
	return b.store(made)
}
