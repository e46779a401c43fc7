package tree

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/seal"
)

// The journal of a partial tree lists the files that are stored in it: MTREE lines with the stamp of the source and the
// digest of the stored bytes as last keywords, and between them the attributes that are kept and those that are not, if
// any. JOURNAL is what the attempts before had stored, JOURNAL.new what the present one stores.
const (
	journalName    = "JOURNAL"
	journalNewName = "JOURNAL.new"
	journalTmpName = "JOURNAL.tmp"
	journalKeyword = " sha256="
	journalStamp   = " stamp="
	journalXattrs  = " xattrs="
	journalLost    = " lost="
)

func isJournal(name string) bool { return strings.HasPrefix(name, journalName) }

// journalHeader is the first line of a journal: files for other recipients are of no use.
func journalHeader(s *seal.Sealer) string {
	if s == nil {
		return "#journal 3 plaintext\n"
	}
	return "#journal 3 " + strings.Join(s.Names, " ") + "\n"
}

// journalWriter appends to JOURNAL.new.
type journalWriter struct {
	file *os.File
	out  *bufio.Writer
	line []byte
}

func createJournal(tree *dirfd.Dir, name string, s *seal.Sealer) (*journalWriter, error) {
	f, err := tree.Create(name)
	if err != nil {
		return nil, err
	}
	j := &journalWriter{file: f, out: bufio.NewWriterSize(f, 64<<10)}
	if _, err := j.out.WriteString(journalHeader(s)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func (j *journalWriter) add(e *lists.Entry) error {
	j.line = lists.AppendMTREE(j.line[:0], e)
	j.line = strconv.AppendUint(append(j.line, journalStamp...), e.Stamp, 16)
	if len(e.Xattrs) > 0 {
		j.line = appendXattrs(append(j.line, journalXattrs...), e.Xattrs)
	}
	if e.Lost != "" {
		j.line = append(append(j.line, journalLost...), lists.Escape(e.Lost)...)
	}
	j.line = append(append(append(j.line, journalKeyword...), e.SHA256...), '\n')
	if len(j.line) > lists.MaxLine {
		return nil // it could not be read: the file is stored again
	}
	_, err := j.out.Write(j.line)
	return err
}

func (j *journalWriter) close() error { return errors.Join(j.out.Flush(), j.file.Close()) }

// journalReader reads a journal as far as it makes sense: its end may be torn. Nil reads an empty one.
type journalReader struct {
	file  *os.File
	lines *lists.LineReader
	prev  string
}

// openJournal returns nil if there is no journal, or it is for other recipients.
func openJournal(tree *dirfd.Dir, name string, s *seal.Sealer) (*journalReader, error) {
	f, err := tree.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	j := &journalReader{file: f, lines: lists.NewLineReader(f)}
	if header, err := j.lines.Next(); err != nil || string(header)+"\n" != journalHeader(s) {
		return nil, f.Close()
	}
	return j, nil
}

// Next returns the next entry, or io.EOF where the journal ends or stops making sense.
func (j *journalReader) Next() (lists.Entry, error) {
	if j == nil {
		return lists.Entry{}, io.EOF
	}
	line, err := j.lines.Next()
	if err != nil {
		return lists.Entry{}, io.EOF
	}
	i := bytes.LastIndex(line, []byte(journalKeyword))
	if i < 0 {
		return lists.Entry{}, io.EOF
	}
	line, digest := line[:i], line[i+len(journalKeyword):]
	if i = bytes.LastIndex(line, []byte(journalStamp)); i < 0 {
		return lists.Entry{}, io.EOF
	}
	e, err := lists.ParseMTREE(line[:i])
	e.SHA256 = string(digest)
	rest, lost, _ := bytes.Cut(line[i+len(journalStamp):], []byte(journalLost))
	stamp, xattrs, _ := bytes.Cut(rest, []byte(journalXattrs))
	e.Stamp, _ = strconv.ParseUint(string(stamp), 16, 64) // 0 with an error
	if err == nil {
		e.Lost, err = lists.Unescape(string(lost))
	}
	if err == nil {
		e.Xattrs, err = parseXattrs(string(xattrs))
	}
	if err != nil || e.Kind != lists.File || !lists.IsDigest(e.SHA256) || j.prev != "" && lists.ComparePaths(j.prev, e.Path) >= 0 {
		return lists.Entry{}, io.EOF
	}
	j.prev = e.Path
	return e, nil
}

// appendXattrs appends attributes, each as its name, a colon and its value, both in base64, with commas between them.
func appendXattrs(b []byte, xattrs []lists.Xattr) []byte {
	for i, x := range xattrs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(base64.StdEncoding.AppendEncode(b, []byte(x.Name)), ':')
		b = base64.StdEncoding.AppendEncode(b, []byte(x.Value))
	}
	return b
}

func parseXattrs(text string) (xattrs []lists.Xattr, err error) {
	if text == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(word, ":")
		var x [2][]byte
		for i, part := range []string{name, value} {
			if x[i], err = base64.StdEncoding.DecodeString(part); err != nil {
				return nil, err
			}
		}
		xattrs = append(xattrs, lists.Xattr{Name: string(x[0]), Value: string(x[1])})
	}
	return xattrs, nil
}

// close drops an error: the file was only read.
func (j *journalReader) close() {
	if j != nil {
		_ = j.file.Close()
	}
}

// compactJournals merges JOURNAL.new into JOURNAL. It returns false if there is nothing to go on from.
func compactJournals(tree *dirfd.Dir, s *seal.Sealer) (bool, error) {
	fresh, err := openJournal(tree, journalNewName, s)
	if err != nil {
		return false, err
	}
	if fresh == nil {
		kind, err := tree.Kind(journalName)
		return kind != 0, errors.Join(err, tree.Remove(journalNewName))
	}
	defer fresh.close()
	before, err := openJournal(tree, journalName, s)
	if err != nil {
		return false, err
	}
	defer before.close()
	if err := tree.Remove(journalTmpName); err != nil {
		return false, err
	}
	out, err := createJournal(tree, journalTmpName, s)
	if err != nil {
		return false, err
	}
	if err := errors.Join(mergeJournals(out, before, fresh), out.close()); err != nil {
		return false, err
	}
	return true, errors.Join(tree.Rename(journalTmpName, tree, journalName), tree.Remove(journalNewName))
}

// mergeJournals writes the entries of both in order; of two for one path, the newer.
func mergeJournals(out *journalWriter, before, fresh lists.Source) error {
	for p, err := range lists.Merge(before, fresh) {
		if err == nil {
			err = out.add(cmp.Or(p.Got, p.Want))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
