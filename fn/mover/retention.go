package mover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/retention"
)

// adviceTime bounds how long a run that failed looks for what could be freed: a volume over a network may take minutes
// to list.
const adviceTime = time.Minute

// Installation identifies the 3scale that a run is of: a volume may hold runs of several. The UID of the APIManager is
// no part of it, since a restored one is the same installation.
type Installation struct{ Namespace, APIManager string }

// InstallationOf returns whose backup a run is.
func InstallationOf(m *archive.Manifest) Installation {
	return Installation{Namespace: m.Source.Namespace, APIManager: m.Source.APIManager}
}

// Decide says which runs of an installation a policy keeps, newest first. Only complete runs are counted and can go:
// those that are damaged, of a newer format, partial, or the operator's are not in the answer, nor those of other
// installations. Beyond what the policy says, the newest run that holds the file storage stays, and the newest with each
// database: runs without it, however many, are no backup of it. The order of runs is that of the volume; a start that contradicts it, or the time
// it is now, was read from a clock that was wrong.
func Decide(runs []archive.RunInfo, of Installation, policy retention.Policy, zone *time.Location, now time.Time) []retention.Decision {
	var counted []retention.Run
	held := make(map[string][]string)
	for _, run := range runs {
		if run.State == archive.Complete && InstallationOf(run.Manifest) == of {
			counted = append(counted, retention.Run{ID: run.ID, Start: run.StartTime()})
			held[run.ID] = parts(run.Manifest)
		}
	}
	decisions := policy.ApplyInOrder(counted, zone, now)
	seen := make(map[string]bool)
	for i := range decisions {
		kept := decisions[i].Kept()
		for _, part := range held[decisions[i].ID] {
			if !seen[part] && !kept {
				decisions[i].Rules = append(decisions[i].Rules, newestWith+part)
			}
			seen[part] = true
		}
	}
	return decisions
}

// newestWith begins the reason why a run stays that no rule of the policy keeps.
const newestWith = "newest with "

// parts are what a run can be the last one to hold.
func parts(m *archive.Manifest) []string {
	var out []string
	if m.FileStorage == archive.Stored {
		out = append(out, "the file storage")
	}
	if m.Databases != nil {
		for _, dump := range m.Databases.Dumps {
			out = append(out, dump.Name)
		}
	}
	return out
}

// rules say which runs of an installation stay, on a volume or in a bucket.
type rules struct {
	policy retention.Policy
	zone   *time.Location    // of the policy
	known  map[string]string // digests of manifests, by run
}

// pruner is what happens on a volume after a run has verified: it mends earlier runs, if damage is known, and removes
// what a policy lets go.
type pruner struct {
	rules

	volume   *archive.Volume
	env      Env
	progress func(v1alpha1.Progress)

	removed  []string // oldest first
	freed    int64
	warnings []string
}

// mend repairs files of earlier runs that the run has too, which was just proven. That run is on the volume whatever
// happens, so a failure is a warning.
func (p *pruner) mend(ctx context.Context, run string) {
	result, err := unlocked(ctx, p.env.LockPatience, p.progress, func() (*archive.MendResult, error) {
		return p.volume.Mend(ctx, run, p.env.Hostname)
	})
	if err != nil {
		p.warnf("earlier runs were not mended: %v", err)
		return
	}
	for _, warning := range result.Warnings {
		p.warnf("%s", warning)
	}
	if result.Files > 0 {
		p.warnf("%d damaged files of earlier runs were replaced by good copies", result.Files)
	}
}

// prune applies the policy after a run that verified. That run is on the volume whatever happens, so a failure is a
// warning.
func (p *pruner) prune(ctx context.Context, written *archive.Manifest) {
	if p.policy.KeepsAll() {
		return
	}
	going, err := p.going(ctx, written)
	if err != nil {
		p.warnf("retention was not applied: %v", err)
		return
	}
	tried, goOn := 0, true
	for tried < len(going) && goOn { // oldest first: if this is interrupted, the least wanted are gone
		var now int
		now, goOn = p.remove(ctx, going[tried:min(tried+removedAtOnce, len(going))])
		tried += now
	}
	if left := len(going) - tried; 0 < left && left < len(going) {
		p.warnf("retention was not applied to the end: %d of %d runs that would go were not tried", left, len(going))
	}
}

// removedAtOnce is how many runs are removed by one look at all that stay.
const removedAtOnce = 100

// unread returns an error while a restore reads the volume. A restore reads in more than one pod, and between two of
// them no lock holds the run.
func (p *pruner) unread(ctx context.Context) error {
	readers, ok := p.env.Reporter.(Readers)
	if !ok {
		return nil
	}
	var names string
	err := persist(ctx, func(ctx context.Context) (err error) {
		names, err = readers.Readers(ctx)
		return err
	})
	if err == nil && names != "" {
		err = fmt.Errorf("restore %s reads the volume", names)
	}
	return err
}

// going returns the runs of the volume that the policy lets go.
func (p *pruner) going(ctx context.Context, written *archive.Manifest) ([]string, error) {
	runs, err := p.volume.Runs(ctx)
	if err != nil {
		return nil, err
	}
	going, warning, err := p.goingFrom(runs, written)
	if warning != "" {
		p.warnf("%s", warning)
	}
	return going, err
}

// goingFrom returns the runs that the policy lets go, oldest first, and a warning about those that were not counted.
// Neither the run that was just written nor the newest is among them: they are two runs if another writer was faster.
func (r *rules) goingFrom(runs []archive.RunInfo, written *archive.Manifest) (going []string, warning string, err error) {
	counted, uncounted := r.counted(runs, written.Run)
	of := InstallationOf(written)
	warning = named("the retention leaves %d runs that are not what the status knows: %s; look at them, then remove them", runsOf(uncounted, of))
	decisions := Decide(counted, of, r.policy, r.zone, written.CompletionTime)
	if !slices.ContainsFunc(decisions, func(d retention.Decision) bool { return d.ID == written.Run }) {
		return nil, warning, fmt.Errorf("run %q is not among the complete runs", written.Run)
	}
	return slices.DeleteFunc(goingOf(decisions), func(id string) bool { return id == written.Run }), warning, nil
}

// counted leaves out the runs that may be forged: those whose digests are not the known ones, and those of unknown
// digests that come after a known run, since the status forgets the oldest runs first. Like damaged runs, they displace
// no other, and stay for somebody to look at.
func (r *rules) counted(runs []archive.RunInfo, written string) (counted, uncounted []archive.RunInfo) {
	afterKnown := false
	for _, run := range runs { // oldest first
		digest, known := r.known[run.ID]
		switch {
		case run.ID == written:
		case known && run.ManifestSHA256 == digest:
			afterKnown = true
		case known || afterKnown:
			uncounted = append(uncounted, run)
			continue
		}
		counted = append(counted, run)
	}
	return counted, uncounted
}

// runsOf returns the IDs of the complete runs of an installation.
func runsOf(runs []archive.RunInfo, of Installation) (ids []string) {
	for _, run := range runs {
		if run.State == archive.Complete && InstallationOf(run.Manifest) == of {
			ids = append(ids, run.ID)
		}
	}
	return ids
}

// named tells how many runs there are, and names some of them where there are many; "" if there are none.
func named(format string, ids []string) string {
	const most = 5
	if len(ids) == 0 {
		return ""
	}
	return fmt.Sprintf(format, len(ids), strings.Join(ids[:min(len(ids), most)], ", "))
}

// goingOf returns the IDs of the runs that go, oldest first.
func goingOf(decisions []retention.Decision) []string {
	var ids []string
	for _, d := range slices.Backward(decisions) {
		if !d.Kept() {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// remove removes runs, oldest first, and returns how many it has tried. It returns false if there is no use in trying
// others.
func (p *pruner) remove(ctx context.Context, runs []string) (tried int, goOn bool) {
	var reads error
	unread := func(ctx context.Context) error { // asked before each run, since removing many takes long
		reads = p.unread(ctx)
		return reads
	}
	result, err := unlocked(ctx, p.env.LockPatience, p.progress, func() (*archive.RemoveResult, error) {
		return p.volume.Remove(ctx, runs, archive.RemoveOptions{Holder: p.env.Hostname, Before: unread})
	})
	if result == nil {
		p.tellKept(archive.KeptRun{Run: runs[0], Err: err})
		return 1, !is[*archive.LockedError](err) && ctx.Err() == nil
	}
	p.removed = append(p.removed, result.Runs...) // also with an error, when not all is gone
	p.freed += result.FreedBytes
	for _, warning := range result.Warnings {
		p.warnf("%s", warning)
	}
	for _, kept := range result.Kept {
		p.tellKept(kept)
	}
	if err != nil {
		p.warnf("%v", err)
	}
	if reads != nil {
		p.warnf("retention was not applied: %v", reads)
	}
	return len(result.Runs) + len(result.Kept), reads == nil && ctx.Err() == nil
}

func (p *pruner) tellKept(kept archive.KeptRun) {
	switch {
	case errors.Is(kept.Err, archive.ErrRunNotFound): // another writer's retention was faster
	case is[*archive.InUseError](kept.Err):
		p.warnf("the retention keeps run %q until the next run, though no rule does: it is being read", kept.Run)
	default:
		p.warnf("the retention keeps run %q, though no rule does: %v", kept.Run, kept.Err)
	}
}

// warnf notes a warning once.
func (p *pruner) warnf(format string, args ...any) {
	warning := fmt.Sprintf(format, args...)
	if !slices.Contains(p.warnings, warning) {
		p.warnings = append(p.warnings, warning)
	}
}

// tell adds what was done to the result. Its warnings come before those of the manifest, since a long list is cut at
// its end.
func (p *pruner) tell(result *job.Result, manifest *archive.Manifest) {
	result.Removed, result.FreedBytes = job.BoundedIDs(p.removed), p.freed
	fromManifest := slices.DeleteFunc(slices.Clone(manifest.Warnings), func(w string) bool { return slices.Contains(p.warnings, w) })
	result.Warnings = job.Bounded(append(p.warnings, fromManifest...))
}

// advise says, for a run that found no space, what could be freed. Nothing is removed before a new run has verified:
// until then nobody knows whether there will be one.
func (p *pruner) advise(ctx context.Context, of Installation, err error) error {
	if !is[*archive.NoSpaceError](err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adviceTime)
	defer cancel()
	policy, rules := p.policy, "the retention"
	if policy.KeepsAll() {
		policy, rules = retention.Policy{KeepLast: 1}, "keeping only the newest verified run"
	}
	runs, listErr := p.volume.Runs(ctx)
	counted, _ := p.counted(runs, "")
	going := goingOf(Decide(counted, of, policy, p.zone, p.env.Now()))
	freed, freedErr := p.volume.Freed(ctx, going)
	switch {
	case listErr != nil || freedErr != nil:
		// The error of looking is not wrapped: it must not decide on the reason of the run's failure.
		return fmt.Errorf("%w; cannot tell what %s would free: %s", err, rules, errors.Join(listErr, freedErr).Error())
	case len(going) == 0:
		return fmt.Errorf("%w; %s would free nothing now: no run on the volume would go", err, rules)
	}
	return fmt.Errorf("%w; %s would free %d bytes now, of %d runs; they are not removed by themselves, because the new run has not verified", err, rules, freed, len(going))
}
