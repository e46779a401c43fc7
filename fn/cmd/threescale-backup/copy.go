package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/mover"
)

// copyCommand copies runs from a volume to a bucket, or back.
type copyCommand struct {
	Runs        []string `arg:"" name:"run" optional:"" help:"IDs of the runs to copy, or latest; by default all complete runs."`
	From        place    `required:"" placeholder:"DIR|s3://BUCKET/PREFIX" help:"Where the runs are: the root of a backup volume, or a bucket."`
	To          place    `required:"" placeholder:"s3://BUCKET/PREFIX|DIR" help:"Where they are copied to: a bucket if they are on a volume, and a directory if they are in a bucket."`
	Owner       string   `placeholder:"TEXT" help:"What identifies the volume in the bucket: a prefix takes the runs of one volume. By default it names the installation of the newest run."`
	Mend        bool     `help:"Also send what the bucket has lost of runs that it has. Delete damaged objects there first."`
	objectStore `embed:"" group:"object-store"`
}

// Help is what the help text says beyond the flags.
func (*copyCommand) Help() string {
	return `What is there already is not copied again: the same command, run again after an interruption, goes on where it ended. Nothing is
removed at either end, and no retention is applied. A run is there once its manifest is, which is copied last. Every digest is
recomputed while a run is copied. A volume that is copied to becomes one like any other, to which backups can be written.`
}

// copied is the answer in JSON.
type copied struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Runs     []string `json:"runs"`    // that were copied
	Present  []string `json:"present"` // that were there already
	Files    int64    `json:"files"`   // that were copied, lists and manifests included
	Bytes    int64    `json:"bytes"`   // of them
	Requests int64    `json:"requests"`
	Warnings []string `json:"warnings"`
}

// Run copies, and prints what it did, also when it did not get to the end.
func (p *copyCommand) Run(ctx context.Context, c *console) error {
	bucket, volume, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer bucket.Close() //nolint:errcheck // what was sent is there
	defer volume.Close() //nolint:errcheck // what was written is synced
	var from, to archive.Store = volume, bucket
	if p.From.bucket != "" {
		from, to = bucket, volume
	}
	plan, err := p.plan(ctx, from, to)
	if err != nil {
		return err
	}
	draw, end := c.progress()
	options := archive.CopyOptions{Runs: plan.runs, Owner: p.Owner, Mend: p.Mend, Progress: mover.PassOn(draw)}
	var done archive.CopyResult
	switch {
	case len(plan.runs) == 0:
	case p.From.bucket != "":
		done, err = bucket.Fetch(ctx, volume, options, holder())
	default:
		if options.Owner == "" {
			options.Owner = plan.owner
		}
		done, err = bucket.Copy(ctx, volume, options)
	}
	end()
	return p.tell(c, plan, done, bucket.Requests(), err)
}

// holder tells others who writes to a volume.
func holder() string {
	name, err := os.Hostname()
	if err != nil {
		name = "this machine"
	}
	return "threescale-backup copy on " + name
}

// open opens both ends. One of them is a bucket.
func (p *copyCommand) open(ctx context.Context) (*archive.Bucket, *archive.Volume, error) {
	at, directory := p.To, p.From
	if p.From.bucket != "" {
		at, directory = p.From, p.To
	}
	switch {
	case directory.bucket != "":
		return nil, nil, exit.Usage(errors.New("cannot copy from a bucket to a bucket: copy to a directory, and from there to the other bucket"))
	case at.bucket == "":
		return nil, nil, exit.Usage(errors.New("cannot copy from a directory to a directory: one of --from and --to has to be s3://BUCKET/PREFIX"))
	}
	if p.Mend && at == p.From {
		return nil, nil, exit.Usage(errors.New("cannot mend a directory: --mend sends to a bucket what it has lost"))
	}
	bucket, err := p.openBucket(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	if directory == p.To {
		if err := os.MkdirAll(directory.directory, 0o750); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("cannot make the directory to copy to: %w", err), bucket.Close())
		}
	}
	volume, err := openVolume(directory)
	if err != nil {
		return nil, nil, errors.Join(err, bucket.Close())
	}
	return bucket, volume, nil
}

// copyPlan is what a copy does.
type copyPlan struct {
	runs     []string // to copy, oldest first
	present  []string // that are there already
	owner    string   // of the newest complete run
	warnings []string
}

func (p *copyCommand) plan(ctx context.Context, from, to archive.Store) (copyPlan, error) {
	runs, err := from.Runs(ctx)
	if err != nil {
		return copyPlan{}, err
	}
	there, err := to.Runs(ctx)
	if err != nil {
		return copyPlan{}, err
	}
	wanted, warnings, err := wantedRuns(runs, p.Runs)
	if err != nil {
		return copyPlan{}, err
	}
	plan := copyPlan{owner: ownerOf(runs), warnings: warnings}
	for _, run := range wanted {
		same := func(r archive.RunInfo) bool { return r.ID == run.ID && r.ManifestSHA256 == run.ManifestSHA256 }
		present := slices.ContainsFunc(there, same)
		if present {
			plan.present = append(plan.present, run.ID)
		}
		if !present || p.Mend {
			plan.runs = append(plan.runs, run.ID)
		}
	}
	return plan, nil
}

// wantedRuns returns the runs that are asked for, or all that can be copied, oldest first.
// What cannot be copied is a warning, unless it is asked for.
func wantedRuns(runs []archive.RunInfo, asked []string) (wanted []archive.RunInfo, warnings []string, err error) {
	asked = slices.Clone(asked)
	for i, id := range asked {
		if id == archive.Latest {
			if newest := newestComplete(runs); newest != nil {
				asked[i] = newest.ID
			}
		}
		if !slices.ContainsFunc(runs, func(r archive.RunInfo) bool { return r.ID == asked[i] && r.State == archive.Complete }) {
			return nil, nil, fmt.Errorf("cannot copy run %q: %w (list shows the runs; only complete ones can be copied)", id, archive.ErrRunNotFound)
		}
	}
	for _, run := range runs {
		switch {
		case len(asked) > 0 && !slices.Contains(asked, run.ID):
		case run.State == archive.Complete:
			wanted = append(wanted, run)
		case len(asked) == 0:
			warnings = append(warnings, notCopied(run))
		}
	}
	return wanted, warnings, nil
}

func notCopied(run archive.RunInfo) string {
	if run.Message == "" {
		return fmt.Sprintf("run %s is not copied: its state is %s", run.ID, run.State)
	}
	return fmt.Sprintf("run %s is not copied: its state is %s: %s", run.ID, run.State, run.Message)
}

// newestComplete returns the complete run that was committed last; nil without one.
func newestComplete(runs []archive.RunInfo) *archive.RunInfo {
	for i := range slices.Backward(runs) {
		if runs[i].State == archive.Complete {
			return &runs[i]
		}
	}
	return nil
}

// ownerOf identifies a volume by the installation of its newest run. A volume has no name of its
// own: it can be mounted anywhere, and so can a copy of it.
func ownerOf(runs []archive.RunInfo) string {
	newest := newestComplete(runs)
	if newest == nil {
		return ""
	}
	from := newest.Manifest.Source
	owner := fmt.Sprintf("APIManager %s/%s", from.Namespace, from.APIManager)
	if from.UID != "" {
		owner += ", UID " + from.UID
	}
	return owner
}

// tell prints what was copied before the error, if there is one, and returns the error.
func (p *copyCommand) tell(c *console, plan copyPlan, done archive.CopyResult, requests int64, err error) error {
	answer := copied{
		From: p.From.String(), To: p.To.String(), Runs: append([]string{}, done.Runs...), Present: append([]string{}, plan.present...),
		Files: done.Files, Bytes: done.Bytes, Requests: requests, Warnings: append(append([]string{}, plan.warnings...), done.Warnings...),
	}
	if c.json {
		return errors.Join(err, c.encode(answer))
	}
	c.sayEach("copied: %s", answer.Runs)
	c.sayEach("there already: %s", answer.Present)
	c.sayEach("warning: %s", answer.Warnings)
	c.sayf("%d runs were copied to %s: %d files, %s, by %d requests", len(answer.Runs), answer.To, answer.Files, size(answer.Bytes), answer.Requests)
	return err
}
