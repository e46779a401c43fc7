package lists

import (
	"cmp"
	"errors"
	"io"
	"iter"
)

// Source yields entries in the order of ComparePaths, and io.EOF after the last.
type Source interface{ Next() (Entry, error) }

// SliceSource yields the entries of a slice.
type SliceSource struct{ Entries []Entry }

// Next makes a Source of the slice.
func (s *SliceSource) Next() (Entry, error) {
	if len(s.Entries) == 0 {
		return Entry{}, io.EOF
	}
	e := s.Entries[0]
	s.Entries = s.Entries[1:]
	return e, nil
}

// Seeker looks ahead in a source, to find entries that are asked for in increasing order.
type Seeker struct {
	source Source
	ahead  Entry
	valid  bool
	ended  bool
}

// NewSeeker returns a seeker before the first entry of the source.
func NewSeeker(s Source) *Seeker { return &Seeker{source: s} }

// peek returns the entry that is next, valid until pass is called; nil after the last.
func (s *Seeker) peek() (*Entry, error) {
	if s.ended {
		return nil, nil
	}
	if s.valid {
		return &s.ahead, nil
	}
	e, err := s.source.Next()
	if errors.Is(err, io.EOF) {
		s.ended = true
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.ahead, s.valid = e, true
	return &s.ahead, nil
}

// pass goes on to the entry after the one that peek returned.
func (s *Seeker) pass() { s.valid = false }

// Find returns the entry of a path, valid until the next call; nil if the source has none.
func (s *Seeker) Find(path string) (*Entry, error) {
	for {
		e, err := s.peek()
		if e == nil || err != nil {
			return nil, err
		}
		order := ComparePaths(e.Path, path)
		if order == 0 {
			return e, nil
		}
		if order > 0 {
			return nil, nil
		}
		s.pass()
	}
}

// Drain reads the source to its end, so that it can prove itself.
func (s *Seeker) Drain() error {
	for {
		e, err := s.peek()
		if e == nil || err != nil {
			return err
		}
		s.pass()
	}
}

// Pair is the entry that two sources have of one path; nil in a source that has none.
type Pair struct{ Want, Got *Entry }

// Merge yields the entries of two sources side by side. A pair is valid until the next one. An error of a source ends
// the sequence.
func Merge(want, got Source) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		wanted, found := NewSeeker(want), NewSeeker(got)
		for {
			w, wantErr := wanted.peek()
			g, gotErr := found.peek()
			if err := cmp.Or(wantErr, gotErr); err != nil {
				yield(Pair{}, err)
				return
			}
			switch {
			case w == nil && g == nil:
				return
			case w == nil || g == nil:
			case ComparePaths(w.Path, g.Path) < 0:
				g = nil
			case w.Path != g.Path:
				w = nil
			}
			if !yield(Pair{w, g}, nil) {
				return
			}
			if w != nil {
				wanted.pass()
			}
			if g != nil {
				found.pass()
			}
		}
	}
}
