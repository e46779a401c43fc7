package archive

import (
	"fmt"

	"threescale.dev/backup/fn/archive/internal/lists"
)

// lacking counts what the lists have and a copy of a volume may not: symlinks, and directories without files. Tools for
// object stores know neither. What was lost that way is no damage, since a restore makes it by the lists.
type lacking struct {
	symlinks int64
	dirs     int64
	followed int64 // symlinks in whose place there is a file or a directory, as it is where a tool follows them
}

// lack counts a listed entry that is not stored.
func (l *lacking) lack(want *lists.Entry) {
	switch want.Kind {
	case Symlink:
		l.symlinks++
	case Directory:
		l.dirs++
	}
}

// warning tells what a part of the volume lacks; empty: nothing.
func (l *lacking) warning(where string) string {
	if *l == (lacking{}) {
		return ""
	}
	text := fmt.Sprintf("%s lacks %d symlinks and %d directories", where, l.symlinks, l.dirs)
	if l.followed > 0 {
		text += fmt.Sprintf(", and has something else in the place of %d symlinks", l.followed)
	}
	return text + ", as a copy by a tool that knows none does: a restore makes them by the lists"
}
