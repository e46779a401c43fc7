package commit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"threescale.dev/backup/fn/publish"
)

// Bounds of what a child says. A condition's message may have 32 KiB, and quotes a path, which makes up to four bytes of one.
const (
	maxMessage = 7 << 10
	maxNote    = 1 << 10
)

// Check refuses an answer that no child of ours gives to the request: one that works on what a tenant wrote may say what he likes. It
// bounds the objects of a Tree, and not the texts beside them, which only the answer's size bounds; what the objects hold is for whoever
// decodes them to check.
func (a *Answer) Check(request Request) error {
	switch {
	case a.Failure != nil:
		return a.Failure.check()
	case request.Build != nil && a.Tree != nil:
		return a.Tree.check(request.Build)
	case request.Inspect != nil && a.Branch != nil:
		return errors.Join(checkResult(&a.Branch.Result), a.Branch.Problem.check(), a.Branch.Unsigned.check())
	case request.Publish != nil && a.Published != nil && a.Published.Commit != "":
		return checkResult(a.Published)
	}
	return errors.New("it is about something else")
}

func (t *BuiltTree) check(source *TreeInput) error {
	switch in := source.Input; {
	case t.Name != in.Name || t.Namespace != in.Namespace:
		return errors.New("it names another tree")
	case len(t.Objects) > len(in.Admitted)+1: // and the PVC of the file storage
		return fmt.Errorf("it holds %d objects, and %d were asked for", len(t.Objects), len(in.Admitted))
	}
	return nil
}

func checkResult(r *publish.Result) error {
	_, err := hex.DecodeString(r.Commit)
	switch {
	case err != nil || !slices.Contains([]int{0, 40, 64}, len(r.Commit)) || r.Found && r.Commit == "":
		return errors.New("it names no commit")
	case len(r.Note) > maxNote || !utf8.ValidString(r.Note):
		return errors.New("the note of its commit is too long, or no text")
	}
	return nil
}

func (f *Failure) check() error {
	switch {
	case f == nil:
		return nil
	case !slices.Contains([]Kind{TreeRefused, TextUnsupported, NoRecipients, EncryptionRefused, FolderTaken, FileIgnored, GitFailed, Crashed}, f.Kind):
		return errors.New("it fails for an unknown reason")
	case len(f.Message) > maxMessage || !utf8.ValidString(f.Message):
		return errors.New("its message is too long, or no text")
	}
	return nil
}

// bounded makes its message one that a condition can hold.
func (f *Failure) bounded() *Failure {
	if f == nil || f.check() == nil {
		return f
	}
	short := *f
	short.Message = strings.ToValidUTF8(f.Message[:min(len(f.Message), maxMessage-3)], "") + "..."
	return &short
}
