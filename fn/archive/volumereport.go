package archive

import (
	"fmt"
	"slices"
	"strings"
)

// VolumeReport is what verifying all runs of a volume found.
type VolumeReport struct {
	Runs     []*VerifyReport // newest first, without partial ones; the State of one of a newer format is Unsupported
	Verified int64           // how many of them could be verified
	Files    int64           // that were read, objects included; what runs share, once
	Bytes    int64           // of them, as stored
	Warnings []string        // about the volume; those about a run are in its report
}

// Damage is one thing that is wrong with stored runs.
type Damage struct {
	Problem          // in the newest of the runs
	Runs    []string // IDs of all runs that have it, newest first
}

// String names the damage and the newest runs that have it.
func (d Damage) String() string { return d.Problem.String() + "; in " + nameRuns(d.Runs) }

// nameRuns names the newest of some runs.
func nameRuns(ids []string) string {
	const named = 3
	if len(ids) == 1 {
		return "run " + ids[0]
	}
	text := "runs " + strings.Join(ids[:min(named, len(ids))], ", ")
	if more := len(ids) - named; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// DamagedRunsError says which runs of a volume are damaged.
type DamagedRunsError struct {
	Damaged []error // an IntegrityError each
	Runs    []string
}

func (e *DamagedRunsError) Error() string {
	if len(e.Damaged) == 1 {
		return e.Damaged[0].Error()
	}
	return fmt.Sprintf("%d runs are damaged: %s", len(e.Runs), strings.Join(e.Runs, ", "))
}

// Unwrap returns the error of each run.
func (e *DamagedRunsError) Unwrap() []error { return e.Damaged }

// damaged reports whether a run is not what was written. Nobody knows that of one that APIManagerBackup wrote.
func (r *VerifyReport) damaged() bool { return r.State != Unverified && len(r.Problems) > 0 }

// Err returns a DamagedRunsError if runs are damaged.
func (r *VolumeReport) Err() error {
	e := &DamagedRunsError{}
	for _, report := range r.Runs {
		if report.damaged() {
			e.Damaged, e.Runs = append(e.Damaged, report.Err()), append(e.Runs, report.Run)
		}
	}
	if len(e.Runs) == 0 {
		return nil
	}
	return e
}

// Damages returns each thing that is wrong once, in the order of the runs and of their lists. A file with other bytes
// than it should have is one, in however many trees it is linked.
func (r *VolumeReport) Damages() []Damage {
	var damages []Damage
	index := make(map[Problem]int)
	for _, report := range r.Runs {
		if !report.damaged() {
			continue
		}
		for _, p := range report.Problems {
			key := p
			if rest, ok := strings.CutPrefix(p.Path, treesDir+"/"); ok && p.Kind == Changed {
				_, key.Path, _ = strings.Cut(rest, "/")
			}
			i, known := index[key]
			if !known {
				i = len(damages)
				index[key] = i
				damages = append(damages, Damage{Problem: p})
			}
			damages[i].Runs = append(damages[i].Runs, report.Run)
		}
	}
	return damages
}

// AllWarnings returns the warnings about the volume and about its runs, each once. Those about runs that cannot be
// verified come first, and hold what APIManagerBackup evidently left incomplete.
func (r *VolumeReport) AllWarnings() []string {
	warnings := slices.Clone(r.Warnings)
	var texts []string
	runs := make(map[string][]string)
	tell := func(run, text string) {
		if runs[text] == nil {
			texts = append(texts, text)
		}
		runs[text] = append(runs[text], run)
	}
	for _, complete := range []bool{false, true} {
		for _, report := range r.Runs {
			if (report.State == Complete) != complete {
				continue
			}
			for _, text := range report.Warnings {
				tell(report.Run, text)
			}
			for _, p := range report.Problems {
				if report.State == Unverified {
					tell(report.Run, p.String())
				}
			}
		}
	}
	for _, text := range texts {
		warnings = append(warnings, nameRuns(runs[text])+": "+text)
	}
	return warnings
}
