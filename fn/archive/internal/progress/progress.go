// Package progress tells how far a call on an archive has come.
package progress

// The phases, in the order in which a run goes through them.
const (
	Scan        = "Scan"        // lists a directory; FilesDone counts its entries, and no total is known
	Resume      = "Resume"      // checks what an interrupted attempt left
	FileStorage = "FileStorage" // stores or restores the files, and those of dumps
	Sync        = "Sync"        // waits for the disk
	Verify      = "Verify"      // recomputes digests
)

// Progress is how far a call has come within a phase.
type Progress struct {
	Phase      string // one of the above
	FilesDone  int64
	FilesTotal int64 // 0 when not known
	BytesDone  int64 // of the sources, before encryption
	BytesTotal int64 // 0 when not known
}

// Meter reports progress. It is for one goroutine at a time.
type Meter struct {
	Report func(Progress) // may be nil
	now    Progress
}

// Begin starts a phase of so many files and bytes.
func (m *Meter) Begin(phase string, files, bytes int64) {
	m.now = Progress{Phase: phase, FilesTotal: files, BytesTotal: bytes}
	m.Add(0, 0)
}

// Add says that so many more are done.
func (m *Meter) Add(files, bytes int64) {
	m.now.FilesDone += files
	m.now.BytesDone += bytes
	if m.Report != nil {
		m.Report(m.now)
	}
}
