package database

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"threescale.dev/backup/fn/recorded"
)

// mark says in a database what a load has made of it. It is there until Confirm.
type mark struct {
	run   string
	ended bool // the whole dump is loaded
	// by tells this load from others: while it goes on, a token of its own, so that it knows its mark from that of
	// another load of the same run; after that, the attempt.
	by string
}

const (
	markLoading = "loading"
	markLoaded  = "loaded"
)

// String returns the mark as databases hold it: "<run> loading <token>" or "<run> loaded <attempt>".
func (m mark) String() string {
	state := markLoading
	if m.ended {
		state = markLoaded
	}
	return m.run + " " + state + " " + m.by
}

// parseMark reads what String returns. Any other text is the mark of a load that goes on.
func parseMark(text string) mark {
	words := strings.Split(text, " ")
	const all = 3
	if len(words) != all {
		return mark{run: text}
	}
	return mark{run: words[0], ended: words[1] == markLoaded, by: words[2]}
}

// tell writes what a mark says into what is known of a database.
func (m mark) tell(s *Server) {
	if m.ended {
		s.Loaded = m.String()
	} else {
		s.Loading = m.run
	}
}

// loading returns a mark of this load alone.
func (o LoadOptions) loading() mark { return mark{run: o.Run, by: rand.Text()} }

// loaded returns the mark of what this attempt has loaded.
func (o LoadOptions) loaded() mark {
	const enough = 16
	sum := sha256.Sum256([]byte(o.Attempt))
	return mark{run: o.Run, ended: true, by: hex.EncodeToString(sum[:])[:enough]}
}

// isLoaded reports whether the same attempt has loaded the run, and its end was not noted. Without an attempt, nobody knows
// what has become of the data since, and they are replaced if that is wanted.
func (o LoadOptions) isLoaded(s Server) bool {
	return o.owns(s) && (o.Attempt != "" || o.Policy != Replace)
}

// owns reports whether the mark is that of what this attempt has loaded.
func (o LoadOptions) owns(s Server) bool { return s.Loaded == o.loaded().String() }

// GoesOn reports whether what a database holds is of an earlier try of this load: a part of the dump, or all of it.
func (o LoadOptions) GoesOn(s Server) bool {
	return s.Loading != "" && s.Loading == o.Run || o.isLoaded(s)
}

// loadedBefore is the result of a load that an earlier try of the attempt has made.
func (o LoadOptions) loadedBefore(s Server) Loaded {
	out := Loaded{Server: s}
	if o.Policy == Replace && o.Dump.Kind != recorded.Redis {
		out.Warnings = []string{"an earlier try has loaded it, and ended before it could say which tables the dump does not have"}
	}
	return out
}

// lockPatience is how long a load waits for another one to end: the pod of an earlier try may have been told to.
const lockPatience = 30 * time.Second

// patience is how long this load waits for another one to end.
func (o LoadOptions) patience() time.Duration {
	if o.LockPatience == 0 {
		return lockPatience
	}
	return o.LockPatience
}

// locked says that another load goes on, and how to end one that nobody goes on with.
func (o LoadOptions) locked(orphan string) error {
	return &judgedError{Locked, fmt.Errorf("another load into it goes on, and did not end within %s: wait for it, or end it; %s", o.patience(), orphan)}
}

// errTaken says that a load may not go on, since the database has not its mark any more.
var errTaken = errors.New("another load has begun meanwhile, or somebody has emptied it: wait for that, and load again")
