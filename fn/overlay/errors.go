package overlay

import "fmt"

// UnexpectedObjectError says that a backup holds something that a restore does
// not commit. It never shows a value, since what is unexpected may be a Secret.
type UnexpectedObjectError struct {
	// Kind and Name are as the volume has them, which anybody may have written.
	Kind, Name string
	// Problem completes a sentence that begins with the object.
	Problem string
}

func (e *UnexpectedObjectError) Error() string {
	return fmt.Sprintf("%s %s %s: nothing is committed; check who can write to the backup's volume, or restore another run",
		bounded(e.Kind), bounded(e.Name), e.Problem)
}

// UnsupportedTextError says that an object holds a character that does not come
// through kustomize, and so neither through Flux: DEL, a C1 control character
// (NEL, U+0085, is silently turned into a space), U+FFFE or U+FFFF. Values of
// Secrets, and binaryData, may hold any byte.
type UnsupportedTextError struct {
	Object Key
	// Field is the path of the text, such as "data.MOTD".
	Field string
}

func (e *UnsupportedTextError) Error() string {
	return fmt.Sprintf(`%s %s has a control character in %s that kustomize and Flux would lose: remove it from the live object, and back up again; if that is lost, restore an earlier run, or this one as "Restore by hand" in examples/restore/README.md shows`,
		bounded(e.Object.Kind), bounded(e.Object.Name), bounded(e.Field))
}

// bounded quotes a text of unknown origin, and shortens what no name can be.
func bounded(text string) string {
	const longestName = 253
	if len(text) > longestName {
		return fmt.Sprintf("%.253q...", text)
	}
	return fmt.Sprintf("%q", text)
}
