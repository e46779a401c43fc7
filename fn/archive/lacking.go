package archive

import (
	"fmt"

	"threescale.dev/backup/fn/archive/internal/lists"
)

// lacking counts what is in the lists and may be missing in a copy of a volume: symlinks, and directories without files.
// Tools for object stores know neither. That is no damage, since a restore makes both from the lists.
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

// warning says what a part of the volume lacks; it is empty if that is nothing.
func (l *lacking) warning(where string) string {
	if *l == (lacking{}) {
		return ""
	}
	text := fmt.Sprintf("%s lacks %d symlinks and %d directories", where, l.symlinks, l.dirs)
	if l.followed > 0 {
		text += fmt.Sprintf(", and has something else in the place of %d symlinks", l.followed)
	}
	return text + ", as after a copy by a tool that does not know them: a restore makes them from the lists"
}
