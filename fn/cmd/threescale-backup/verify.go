package main

import (
	"context"
	"fmt"
	"strings"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/cmd/internal/exit"
)

// verifyCommand reads a run again.
type verifyCommand struct {
	Run_   string   `arg:"" name:"run" optional:"" help:"ID of the run, or latest, which is the default."` //nolint:revive // Run is the method
	All    bool     `help:"Verify all runs; what they share is read once."`
	Volume string   `required:"" type:"existingdir" help:"Root of the backup volume."`
	Expect []string `sep:"none" aliases:"manifest-sha256" placeholder:"DIGEST" help:"Fail unless manifest.json of the run has this SHA-256. status.manifests of the ThreeScaleBackup has it. With --all, give RUN=DIGEST; may be repeated. Also called --manifest-sha256."`
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

func verifiedOf(r *archive.VerifyReport) verified {
	return verified{r.Run, r.State, r.ManifestSHA256, r.Objects, r.Files, r.Bytes, nonNil(r.Problems), r.ProblemCount, r.Warnings}
}

// Run prints what it finds; damage is an error with exit code 65.
func (v *verifyCommand) Run(ctx context.Context, c *console) error {
	expected, err := v.expected()
	if err != nil {
		return exit.Usage(err)
	}
	volume, err := archive.OpenVolume(v.Volume)
	if err != nil {
		return err
	}
	defer volume.Close() //nolint:errcheck // a directory that was only read
	if v.All {
		return v.verifyAll(ctx, c, volume, expected)
	}
	draw, end := progressOf(c)
	report, err := volume.Verify(ctx, v.run(), archive.VerifyOptions{ManifestSHA256: expected[""], Progress: draw})
	end()
	if err != nil {
		return err
	}
	if c.json {
		if err := c.encode(verifiedOf(report)); err != nil {
			return err
		}
		return report.Err()
	}
	v.print(c, report)
	return report.Err()
}

func (v *verifyCommand) run() string {
	if v.Run_ == "" {
		return archive.Latest
	}
	return v.Run_
}

// expected returns the expected digests by run; by "" that of the only one.
func (v *verifyCommand) expected() (map[string]string, error) {
	if v.All && v.Run_ != "" {
		return nil, fmt.Errorf("cannot verify run %q and --all", v.Run_)
	}
	if !v.All && len(v.Expect) > 1 {
		return nil, fmt.Errorf("cannot expect %d digests of one manifest.json", len(v.Expect))
	}
	expected := make(map[string]string, len(v.Expect))
	for _, text := range v.Expect {
		run, digest, named := strings.Cut(text, "=")
		switch {
		case v.All && (!named || run == "" || digest == ""):
			return nil, fmt.Errorf("cannot tell what run has the digest %q: with --all, give RUN=DIGEST", text)
		case v.All:
			expected[run] = digest
		default:
			expected[""] = text
		}
	}
	return expected, nil
}

// progressOf is console.progress for what package archive tells.
func progressOf(c *console) (draw func(archive.Progress), end func()) {
	bar, end := c.progress()
	if bar == nil {
		return nil, end
	}
	return func(p archive.Progress) {
		bar(job.Progress{Phase: string(p.Phase), FilesDone: p.FilesDone, FilesTotal: p.FilesTotal, BytesDone: p.BytesDone, BytesTotal: p.BytesTotal})
	}, end
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (v *verifyCommand) print(c *console, report *archive.VerifyReport) {
	for _, problem := range report.Problems {
		c.sayf("%s", problem)
	}
	for _, warning := range report.Warnings {
		c.sayf("warning: %s", warning)
	}
	conclude(c, report)
	if report.State == archive.Complete && report.ProblemCount == 0 {
		c.sayf("manifest.json has SHA-256 %s", report.ManifestSHA256)
	}
}

const unverified = "Run %s was written by APIManagerBackup, which stores no digests: it cannot be verified"

// conclude says in a line what a run is good for.
func conclude(c *console, report *archive.VerifyReport) {
	switch {
	case report.ProblemCount > 0:
		c.sayf("Run %s is damaged: %d problems", report.Run, report.ProblemCount)
	case report.State == archive.Unverified:
		c.sayf(unverified, report.Run)
	case report.State == archive.Unsupported:
		c.sayf("Run %s was written by a newer version: it was not verified", report.Run)
	default:
		c.sayf("Run %s is intact: %d objects and %d files, %s, every digest recomputed", report.Run, report.Objects, report.Files, size(report.Bytes))
	}
}
