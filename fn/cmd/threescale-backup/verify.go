package main

import (
	"context"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
)

// verifyCommand reads a run again.
type verifyCommand struct {
	Run_   string `arg:"" name:"run" optional:"" default:"latest" help:"ID of the run, or latest."` //nolint:revive // Run is the method
	Volume string `required:"" type:"existingdir" help:"Root of the backup volume."`
	Expect string `placeholder:"DIGEST" help:"Fail unless manifest.json has this SHA-256, such as status.lastRun.manifestSHA256 says."`
}

// verified is the answer in JSON.
type verified struct {
	Run            string            `json:"run"`
	State          archive.State     `json:"state"`
	ManifestSHA256 string            `json:"manifestSHA256,omitempty"`
	Objects        int64             `json:"objects"`
	Files          int64             `json:"files"`
	Bytes          int64             `json:"bytes"`
	Problems       []archive.Problem `json:"problems"`
	ProblemCount   int64             `json:"problemCount"`
	Warnings       []string          `json:"warnings,omitempty"`
}

// Run prints what it finds; damage is an error with exit code 65.
func (v *verifyCommand) Run(ctx context.Context, c *console) error {
	volume, err := archive.OpenVolume(v.Volume)
	if err != nil {
		return err
	}
	defer volume.Close() //nolint:errcheck // a directory that was only read
	draw, end := c.progress()
	report, err := volume.Verify(ctx, v.Run_, archive.VerifyOptions{
		ManifestSHA256: v.Expect,
		Progress: func(p archive.Progress) {
			if draw != nil {
				draw(job.Progress{Phase: string(p.Phase), FilesDone: p.FilesDone, FilesTotal: p.FilesTotal, BytesDone: p.BytesDone, BytesTotal: p.BytesTotal})
			}
		},
	})
	end()
	if err != nil {
		return err
	}
	if c.json {
		if err := c.encode(verified{report.Run, report.State, report.ManifestSHA256, report.Objects, report.Files, report.Bytes, nonNil(report.Problems), report.ProblemCount, report.Warnings}); err != nil {
			return err
		}
		return report.Err()
	}
	v.print(c, report)
	return report.Err()
}

func nonNil(problems []archive.Problem) []archive.Problem {
	if problems == nil {
		return []archive.Problem{}
	}
	return problems
}

func (v *verifyCommand) print(c *console, report *archive.VerifyReport) {
	for _, problem := range report.Problems {
		c.sayf("%s", problem)
	}
	for _, warning := range report.Warnings {
		c.sayf("warning: %s", warning)
	}
	switch {
	case report.ProblemCount > 0:
		c.sayf("Run %s is damaged: %d problems", report.Run, report.ProblemCount)
	case report.State == archive.Unverified:
		c.sayf("Run %s was written by APIManagerBackup, which stores no digests: it cannot be verified", report.Run)
	default:
		c.sayf("Run %s is intact: %d objects and %d files, %s, every digest recomputed", report.Run, report.Objects, report.Files, size(report.Bytes))
		c.sayf("manifest.json has SHA-256 %s", report.ManifestSHA256)
	}
}
