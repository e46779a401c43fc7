package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/retention"
	"threescale.dev/backup/fn/timezone"
)

// listCommand lists runs.
type listCommand struct {
	storeFlags `embed:""`

	Retention string `placeholder:"keepLast=7,keepDaily=14" help:"Explain which runs a spec.retention would keep and, on a volume, what the others would free; removes nothing."`
	TimeZone  string `placeholder:"Europe/Berlin" help:"Time zone of --retention and of the times that it prints, as spec.timeZone; UTC by default."`
}

// listedRun is one run in JSON.
type listedRun struct {
	ID             string            `json:"id"`
	State          archive.State     `json:"state"`
	Message        string            `json:"message,omitempty"`
	ManifestSHA256 string            `json:"manifestSHA256,omitempty"`
	Manifest       *archive.Manifest `json:"manifest,omitempty"`
}

func listed(run archive.RunInfo) listedRun {
	return listedRun{run.ID, run.State, run.Message, run.ManifestSHA256, run.Manifest}
}

// Run prints the runs, oldest first.
func (l *listCommand) Run(ctx context.Context, c *console) error {
	policy, zone, err := l.policy()
	if err != nil {
		return err
	}
	store, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // it was only read
	runs, err := store.Runs(ctx)
	if err != nil {
		return err
	}
	if len(runs) == 0 && !c.json {
		c.sayf("No runs on %s", l.Volume.String())
		return nil
	}
	if policy != nil {
		answer, err := explain(ctx, store, runs, *policy, zone)
		switch {
		case err != nil:
			return err
		case c.json:
			return c.encode(answer)
		}
		return answer.print(c, zone)
	}
	if c.json {
		all := make([]listedRun, 0, len(runs))
		for _, run := range runs {
			all = append(all, listed(run))
		}
		return c.encode(all)
	}
	header, rows := []string{"RUN", "STATE", "STARTED", "FILES", "SIZE", "NEW", "ENCRYPTED", "MANIFEST"}, make([][]string, 0, len(runs))
	if slices.ContainsFunc(runs, func(run archive.RunInfo) bool { return len(dumpsOf(run.Manifest)) > 0 }) {
		header = append(header, "DATABASES")
	}
	for _, run := range runs {
		rows = append(rows, row(run))
	}
	return c.table(header, rows)
}

func row(run archive.RunInfo) []string {
	m := run.Manifest
	if m == nil {
		return []string{run.ID, string(run.State), run.Message}
	}
	encrypted := "no"
	if m.Encryption != nil {
		encrypted = "yes"
	}
	files, bytes, linked := m.Totals.Objects+m.Totals.Files, m.Totals.ObjectBytes+m.Totals.Bytes, m.Totals.LinkedBytes
	if d := m.Databases; d != nil {
		files, bytes, linked = files+d.Totals.Files, bytes+d.Totals.Bytes, linked+d.Totals.LinkedBytes
	}
	var names []string
	for _, d := range dumpsOf(m) {
		names = append(names, d.Name)
	}
	return []string{
		run.ID, string(run.State), m.StartTime.Format(time.RFC3339), fmt.Sprint(files),
		size(bytes), size(bytes - linked), encrypted, fmt.Sprintf("%.12s", run.ManifestSHA256), strings.Join(names, ","),
	}
}

// explained is the effect of a retention policy on a volume, in JSON.
type explained struct {
	Runs       []explainedRun `json:"runs"`                 // oldest first
	FreedBytes *int64         `json:"freedBytes,omitempty"` // not known of a bucket
}

// explainedRun is the effect on one run. A run that is not complete is neither kept nor
// removed: no policy counts it.
type explainedRun struct {
	listedRun

	KeptBy []string `json:"keptBy,omitempty"`
	Goes   bool     `json:"goes"`
}

// policy returns the policy of the flags and its time zone; nil without one.
func (l *listCommand) policy() (*retention.Policy, *time.Location, error) {
	if l.Retention == "" {
		if l.TimeZone != "" {
			return nil, nil, exit.Usage(errors.New("--time-zone needs --retention"))
		}
		return nil, nil, nil
	}
	policy, err := retention.Parse(l.Retention)
	zone, noZone := timezone.Load(l.TimeZone)
	if err = cmp.Or(err, noZone); err != nil {
		return nil, nil, exit.Usage(err)
	}
	return &policy, zone, nil
}

// explain applies a policy to the runs of each installation, as the retention of its
// ThreeScaleBackup would.
func explain(ctx context.Context, store archive.Store, runs []archive.RunInfo, policy retention.Policy, zone *time.Location) (explained, error) {
	rules := make(map[string][]string)
	for of := range installations(runs) {
		for _, d := range mover.Decide(runs, of, policy, zone, time.Now()) {
			rules[d.ID] = d.Rules
		}
	}
	answer := explained{Runs: make([]explainedRun, 0, len(runs))}
	var going []string
	for _, run := range runs {
		e := explainedRun{listedRun: listed(run), KeptBy: rules[run.ID]}
		e.Goes = run.State == archive.Complete && len(e.KeptBy) == 0
		if e.Goes {
			going = append(going, run.ID)
		}
		answer.Runs = append(answer.Runs, e)
	}
	volume, ok := store.(*archive.Volume)
	if !ok {
		return answer, nil
	}
	freed, err := volume.Freed(ctx, going)
	answer.FreedBytes = &freed
	return answer, err
}

// installations returns the installations of the complete runs.
func installations(runs []archive.RunInfo) map[mover.Installation]bool {
	found := make(map[mover.Installation]bool)
	for _, run := range runs {
		if run.State == archive.Complete {
			found[mover.InstallationOf(run.Manifest)] = true
		}
	}
	return found
}

// print shows the runs and why each stays.
func (e explained) print(c *console, location *time.Location) error {
	rows := make([][]string, 0, len(e.Runs))
	going := 0
	for _, run := range e.Runs {
		if run.Goes {
			going++
		}
		rows = append(rows, run.row(location))
	}
	if err := c.table([]string{"RUN", "STATE", "STARTED", "INSTALLATION", "RETENTION"}, rows); err != nil {
		return err
	}
	would := fmt.Sprintf("%d of %d runs would go", going, len(e.Runs))
	if e.FreedBytes != nil {
		would += fmt.Sprintf(", which would free %s (%d bytes)", size(*e.FreedBytes), *e.FreedBytes)
	}
	c.sayf("%s; nothing was removed", would)
	return nil
}

func (r explainedRun) row(location *time.Location) []string {
	started, of, why := "", "", "not complete: neither counted nor removed"
	if m := r.Manifest; m != nil {
		started, of, why = m.StartTime.In(location).Format(time.RFC3339), m.Source.Namespace+"/"+m.Source.APIManager, "kept: "+strings.Join(r.KeptBy, ", ")
	}
	if r.Goes {
		why = "would go"
	}
	return []string{r.ID, string(r.State), started, of, why}
}
