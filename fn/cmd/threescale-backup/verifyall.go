package main

import (
	"context"

	"threescale.dev/backup/fn/archive"
)

// verifiedVolume is the answer of verify --all in JSON.
type verifiedVolume struct {
	Runs     []verified     `json:"runs"` // newest first
	Verified int64          `json:"verified"`
	Files    int64          `json:"files"` // that were read: what runs share, once
	Bytes    int64          `json:"bytes"`
	Damages  []damageOfRuns `json:"damages"` // each problem once
	Warnings []string       `json:"warnings,omitempty"`
}

// damageOfRuns is one thing that is wrong, and the runs that have it.
type damageOfRuns struct {
	archive.Problem
	Runs []string `json:"runs"`
}

// verifyAll verifies all runs of a volume.
func (v *verifyCommand) verifyAll(ctx context.Context, c *console, volume *archive.Volume, expected map[string]string) error {
	draw, end := progressOf(c)
	report, err := volume.VerifyRuns(ctx, archive.VerifyRunsOptions{Expect: expected, Progress: draw})
	end()
	if err != nil {
		return err
	}
	if c.json {
		if err := c.encode(verifiedVolumeOf(report)); err != nil {
			return err
		}
		return report.Err()
	}
	printVolume(c, report)
	return report.Err()
}

func verifiedVolumeOf(report *archive.VolumeReport) verifiedVolume {
	answer := verifiedVolume{Verified: report.Verified, Files: report.Files, Bytes: report.Bytes, Warnings: report.Warnings}
	for _, run := range report.Runs {
		answer.Runs = append(answer.Runs, verifiedOf(run))
	}
	for _, damage := range report.Damages() {
		answer.Damages = append(answer.Damages, damageOfRuns(damage))
	}
	answer.Runs, answer.Damages = nonNil(answer.Runs), nonNil(answer.Damages)
	return answer
}

// printVolume names each damage once, and then says of each run what it is good for.
func printVolume(c *console, report *archive.VolumeReport) {
	for _, damage := range report.Damages() {
		c.sayf("%s", damage)
	}
	for _, warning := range report.AllWarnings() {
		c.sayf("warning: %s", warning)
	}
	for _, run := range report.Runs {
		if run.State == archive.Unverified {
			c.sayf(unverified, run.Run) // whatever it lacks, nobody knows what was written
			continue
		}
		conclude(c, run)
	}
	if len(report.Runs) == 0 {
		return
	}
	c.sayf("%d runs verified: %d files read, %s; what runs share was read once", report.Verified, report.Files, size(report.Bytes))
}
