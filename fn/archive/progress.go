package archive

// Phase is a step of writing or verifying, in the order of the constants.
type Phase string

const (
	// PhaseScan lists the file storage; FilesDone counts entries, and no total is known.
	PhaseScan Phase = "Scan"
	// PhaseResume checks what an interrupted attempt left.
	PhaseResume Phase = "Resume"
	// PhaseFileStorage stores the files.
	PhaseFileStorage Phase = "FileStorage"
	// PhaseSync waits for the disk.
	PhaseSync Phase = "Sync"
	// PhaseVerify recomputes digests.
	PhaseVerify Phase = "Verify"
)

// Progress is how far a call has come within a phase.
type Progress struct {
	Phase      Phase
	FilesDone  int64
	FilesTotal int64 // 0 when not known
	BytesDone  int64 // of the sources, before encryption
	BytesTotal int64 // 0 when not known
}

// progress reports how far a call has come. It is for one goroutine at a time.
type progress struct {
	report func(Progress)
	now    Progress
}

func newProgress(report func(Progress)) *progress {
	if report == nil {
		report = func(Progress) {}
	}
	return &progress{report: report}
}

// begin starts a phase of so many files and bytes.
func (p *progress) begin(phase Phase, files, bytes int64) {
	p.now = Progress{Phase: phase, FilesTotal: files, BytesTotal: bytes}
	p.report(p.now)
}

// add says that so many more are done.
func (p *progress) add(files, bytes int64) {
	p.now.FilesDone += files
	p.now.BytesDone += bytes
	p.report(p.now)
}

// set says how many files are done.
func (p *progress) set(files int64) {
	p.now.FilesDone = files
	p.report(p.now)
}
