package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/mover"
)

// verifyCommand reads a run again.
type verifyCommand struct {
	storeFlags `embed:""`

	Run_   string   `arg:"" name:"run" optional:"" help:"ID of the run, or latest, which is the default."` //nolint:revive // Run is the method
	All    bool     `help:"Verify all runs; what they share is read once."`
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
	return verified{r.Run, r.State, r.ManifestSHA256, r.Objects, r.Files, r.Bytes, append([]archive.Problem{}, r.Problems...), r.ProblemCount, r.Warnings}
}

// Run prints what it finds; damage is an error with exit code 65.
func (v *verifyCommand) Run(ctx context.Context, c *console) error {
	expected, err := v.expected()
	if err != nil {
		return exit.Usage(err)
	}
	store, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // it was only read
	if v.All {
		return v.verifyAll(ctx, c, store, expected)
	}
	draw, end := c.progress()
	report, err := store.Verify(ctx, cmp.Or(v.Run_, archive.Latest), archive.VerifyOptions{ManifestSHA256: expected[""], Progress: mover.PassOn(draw)})
	end()
	if err != nil {
		return err
	}
	if c.json {
		err = c.encode(verifiedOf(report))
	} else {
		printRun(c, report)
	}
	return cmp.Or(err, report.Err())
}

// expected returns the expected digests by run; without --all, that of the only run under
// the key "".
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
			return nil, fmt.Errorf("the digest %q names no run: with --all, give RUN=DIGEST", text)
		case v.All:
			expected[run] = digest
		default:
			expected[""] = text
		}
	}
	return expected, nil
}

func printRun(c *console, report *archive.VerifyReport) {
	for _, problem := range report.Problems {
		c.sayf("%s", problem)
	}
	c.sayEach("warning: %s", report.Warnings)
	conclude(c, report)
	if report.State == archive.Complete && report.ProblemCount == 0 {
		c.sayf("manifest.json has SHA-256 %s", report.ManifestSHA256)
	}
}

const unverified = "Run %s was written by APIManagerBackup, which stores no digests: it cannot be verified"

// conclude prints one line that says whether a run can be used.
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

// verifiedVolume is the answer of verify --all in JSON.
type verifiedVolume struct {
	Runs     []verified     `json:"runs"` // newest first
	Verified int64          `json:"verified"`
	Files    int64          `json:"files"` // that were read; what runs share counts once
	Bytes    int64          `json:"bytes"`
	Damages  []damageOfRuns `json:"damages"` // each problem once
	Warnings []string       `json:"warnings,omitempty"`
}

// damageOfRuns is one thing that is wrong, and the runs that have it.
type damageOfRuns struct {
	archive.Problem
	Runs []string `json:"runs"`
}

// verifyAll verifies all runs.
func (v *verifyCommand) verifyAll(ctx context.Context, c *console, store archive.Store, expected map[string]string) error {
	draw, end := c.progress()
	report, err := store.VerifyRuns(ctx, archive.VerifyRunsOptions{Expect: expected, Progress: mover.PassOn(draw)})
	end()
	if err != nil {
		return err
	}
	if c.json {
		err = c.encode(verifiedVolumeOf(report))
	} else {
		printVolume(c, report)
	}
	return cmp.Or(err, report.Err())
}

func verifiedVolumeOf(report *archive.VolumeReport) verifiedVolume {
	answer := verifiedVolume{
		Runs: []verified{}, Verified: report.Verified, Files: report.Files, Bytes: report.Bytes, Damages: []damageOfRuns{}, Warnings: report.Warnings,
	}
	for _, run := range report.Runs {
		answer.Runs = append(answer.Runs, verifiedOf(run))
	}
	for _, damage := range report.Damages() {
		answer.Damages = append(answer.Damages, damageOfRuns(damage))
	}
	return answer
}

// printVolume names each damage once, and then says of each run whether it can be used.
func printVolume(c *console, report *archive.VolumeReport) {
	for _, damage := range report.Damages() {
		c.sayf("%s", damage)
	}
	c.sayEach("warning: %s", report.AllWarnings())
	for _, run := range report.Runs {
		if run.State == archive.Unverified {
			c.sayf(unverified, run.Run) // without digests, nobody knows what it lacks
			continue
		}
		conclude(c, run)
	}
	if len(report.Runs) == 0 {
		return
	}
	c.sayf("%d runs verified: %d files read, %s; what runs share was read once", report.Verified, report.Files, size(report.Bytes))
}
