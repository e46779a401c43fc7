package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// The journal of a partial tree lists the files that are stored in it: MTREE lines with the digest of the stored bytes
// as a last keyword. JOURNAL is what the attempts before had stored, JOURNAL.new what the present one stores.
const (
	journalName    = "JOURNAL"
	journalNewName = "JOURNAL.new"
	journalTmpName = "JOURNAL.tmp"
	journalKeyword = " sha256="
)

func isJournal(name string) bool { return strings.HasPrefix(name, journalName) }

// journalHeader is the first line of a journal: files for other recipients are of no use.
func journalHeader(s *sealer) string {
	if s == nil {
		return "#journal plaintext\n"
	}
	return "#journal " + strings.Join(s.names, " ") + "\n"
}

// journalWriter appends to JOURNAL.new.
type journalWriter struct {
	file *os.File
	out  *bufio.Writer
	line []byte
}

func newJournalWriter(tree *dir, s *sealer) (*journalWriter, error) {
	return createJournal(tree, journalNewName, s)
}

func createJournal(tree *dir, name string, s *sealer) (*journalWriter, error) {
	f, err := tree.create(name)
	if err != nil {
		return nil, err
	}
	j := &journalWriter{file: f, out: bufio.NewWriterSize(f, 64<<10)}
	if _, err := j.out.WriteString(journalHeader(s)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func (j *journalWriter) add(e *Entry) error {
	j.line = appendMTREE(j.line[:0], e)
	j.line = append(append(append(j.line, journalKeyword...), e.SHA256...), '\n')
	_, err := j.out.Write(j.line)
	return err
}

func (j *journalWriter) flush() error { return j.out.Flush() }

func (j *journalWriter) close() error { return errors.Join(j.out.Flush(), j.file.Close()) }

// journalReader reads a journal as far as it makes sense: its end may be torn.
type journalReader struct {
	file  *os.File
	lines *lineReader
	prev  string
}

// openJournal returns fs.ErrNotExist (wrapped) if there is none, or none for the recipients.
func openJournal(tree *dir, name string, s *sealer) (*journalReader, error) {
	f, err := tree.open(name)
	if err != nil {
		return nil, err
	}
	j := &journalReader{file: f, lines: newLineReader(f)}
	header, err := j.lines.next()
	if err != nil || string(header)+"\n" != journalHeader(s) {
		return nil, errors.Join(fmt.Errorf("journal of other recipients: %w", fs.ErrNotExist), f.Close())
	}
	return j, nil
}

// next returns the next entry, or io.EOF where the journal ends or stops making sense.
func (j *journalReader) next() (Entry, error) {
	line, err := j.lines.next()
	if err != nil {
		return Entry{}, io.EOF
	}
	i := bytes.LastIndex(line, []byte(journalKeyword))
	if i < 0 {
		return Entry{}, io.EOF
	}
	e, err := parseMTREE(line[:i])
	e.SHA256 = string(line[i+len(journalKeyword):])
	if err != nil || e.Kind != File || !isDigest(e.SHA256) || j.prev != "" && comparePaths(j.prev, e.Path) >= 0 {
		return Entry{}, io.EOF
	}
	j.prev = e.Path
	return e, nil
}

func (j *journalReader) close() error { return j.file.Close() }

// compactJournals merges JOURNAL.new into JOURNAL. It returns false if there is nothing to go on from.
func compactJournals(tree *dir, s *sealer) (bool, error) {
	fresh, err := openJournal(tree, journalNewName, s)
	if errors.Is(err, fs.ErrNotExist) {
		kind, err := tree.kind(journalName)
		return kind != 0, errors.Join(err, tree.remove(journalNewName))
	}
	if err != nil {
		return false, err
	}
	defer fresh.close()
	before := &seeker{ended: true}
	old, err := openJournal(tree, journalName, s)
	if err == nil {
		defer old.close()
		before = &seeker{source: old}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := tree.remove(journalTmpName); err != nil {
		return false, err
	}
	out, err := createJournal(tree, journalTmpName, s)
	if err != nil {
		return false, err
	}
	if err := errors.Join(mergeJournals(out, before, &seeker{source: fresh}), out.close()); err != nil {
		return false, err
	}
	return true, errors.Join(tree.rename(journalTmpName, tree, journalName), tree.remove(journalNewName))
}

// mergeJournals writes the entries of both in order; of two for one path, the newer.
func mergeJournals(out *journalWriter, before, fresh *seeker) error {
	if err := errors.Join(before.start(), fresh.start()); err != nil {
		return err
	}
	for before.valid || fresh.valid {
		order := 0
		switch {
		case !fresh.valid:
			order = -1
		case !before.valid:
			order = 1
		default:
			order = comparePaths(before.entry.Path, fresh.entry.Path)
		}
		from := fresh
		if order < 0 {
			from = before
		}
		if err := out.add(&from.entry); err != nil {
			return err
		}
		if order <= 0 && before.valid {
			if err := before.advance(); err != nil {
				return err
			}
		}
		if order >= 0 && fresh.valid {
			if err := fresh.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}

// start moves to the first entry.
func (s *seeker) start() error {
	if s.ended {
		return nil
	}
	return s.advance()
}
