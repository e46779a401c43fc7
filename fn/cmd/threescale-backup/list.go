package main

import (
	"context"
	"fmt"
	"time"

	"threescale.dev/backup/fn/archive"
)

// listCommand lists runs.
type listCommand struct {
	Volume    string `required:"" type:"existingdir" help:"Root of the backup volume."`
	Retention string `placeholder:"keepLast=7,keepDaily=14" help:"Explain which runs a spec.retention would keep and what the others would free; removes nothing."`
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
	policy, err := l.policy()
	if err != nil {
		return err
	}
	volume, err := archive.OpenVolume(l.Volume)
	if err != nil {
		return err
	}
	defer volume.Close() //nolint:errcheck // a directory that was only read
	runs, err := volume.Runs()
	if err != nil {
		return err
	}
	if len(runs) == 0 && !c.json {
		c.sayf("No runs on %s", l.Volume)
		return nil
	}
	if policy != nil {
		answer, err := explain(ctx, volume, runs, *policy)
		switch {
		case err != nil:
			return err
		case c.json:
			return c.encode(answer)
		}
		return answer.print(c, policy.Location)
	}
	if c.json {
		all := make([]listedRun, 0, len(runs))
		for _, run := range runs {
			all = append(all, listed(run))
		}
		return c.encode(all)
	}
	rows := make([][]string, 0, len(runs))
	for _, run := range runs {
		rows = append(rows, row(run))
	}
	return c.table([]string{"RUN", "STATE", "STARTED", "FILES", "SIZE", "NEW", "ENCRYPTED", "MANIFEST"}, rows)
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
	bytes := m.Totals.ObjectBytes + m.Totals.Bytes
	return []string{
		run.ID, string(run.State), m.StartTime.Format(time.RFC3339), fmt.Sprint(m.Totals.Objects + m.Totals.Files),
		size(bytes), size(bytes - m.Totals.LinkedBytes), encrypted, fmt.Sprintf("%.12s", run.ManifestSHA256),
	}
}
