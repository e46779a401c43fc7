package archive_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"threescale.dev/backup/fn/archive"
)

// A file storage and an object are backed up, verified and restored.
func Example() {
	files, volume := temporary(), temporary()
	defer os.RemoveAll(files)
	defer os.RemoveAll(volume)
	must(os.WriteFile(filepath.Join(files, "logo.svg"), []byte("<svg/>"), 0o644))

	v, err := archive.OpenVolume(volume)
	must(err)
	defer v.Close()

	ctx := context.Background()
	result, err := v.Write(ctx, archive.WriteOptions{
		Run:     "20260305t050607z-1a2b3c4d",
		Holder:  "example",
		Objects: []archive.ObjectFile{{Path: "secrets/system-seed.json", Data: []byte("{}\n")}},
		Files:   files,
		Now:     time.Now,
	})
	must(err)
	fmt.Println("stored:", result.Manifest.Totals.Objects, "object,", result.Manifest.Totals.Files, "file")

	report, err := v.Verify(ctx, archive.Latest, archive.VerifyOptions{ManifestSHA256: result.ManifestSHA256})
	must(err)
	fmt.Println("problems:", report.Problems)

	run, err := v.OpenRun(ctx, archive.Latest)
	must(err)
	defer run.Close()
	target := temporary()
	defer os.RemoveAll(target)
	restored, err := run.Restore(ctx, target, archive.RestoreOptions{Existing: archive.Fail})
	must(err)
	content, err := os.ReadFile(filepath.Join(target, "logo.svg"))
	must(err)
	fmt.Printf("restored: %d file, %s\n", restored.WrittenFiles, content)
	// Output:
	// stored: 1 object, 1 file
	// problems: []
	// restored: 1 file, <svg/>
}

func temporary() string {
	dir, err := os.MkdirTemp("", "example")
	must(err)
	return dir
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
