//go:build e2e

package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	imageOfJobs = `jsonpath={range .items[*]}{.spec.template.spec.containers[0].image}{"\n"}{end}`
	backupJobs  = "backup.threescale.dev/run"
)

// upgradeWhileARunGoes follows the page while the mover waits for a writer of
// the volume, which the test is: so the run cannot end meanwhile.
func (s *site) upgradeWhileARunGoes(r *reader) {
	s.t.Helper()
	release := s.holdBackups()
	s.kubectl("patch", "threescalebackup", "nightly", "--type=merge", "--patch", `{"spec":{"trigger":"while-upgraded"}}`)
	var before string
	s.until("the mover to wait", func(ctx context.Context) error {
		if phase := s.kubectl("get", "threescalebackup", "nightly", "-o", "jsonpath={.status.progress.phase}"); phase != "Locked" {
			return fmt.Errorf("the phase is %q", phase)
		}
		before = s.kubectl("get", "jobs", "-l", backupJobs, "-o", imageOfJobs+`{.items[0].metadata.uid}`)
		return nil
	})
	assert.Equal(s.t, s.imageOf("crossplane-system", "pkg.crossplane.io/function"), s.imageOf(namespace, backupJobs), "the function and its Jobs run the same image")
	r.follow("manifests/README.md", "Upgrade", s.choices()...)
	assert.Equal(s.t, before, s.kubectl("get", "jobs", "-l", backupJobs, "-o", imageOfJobs+`{.items[0].metadata.uid}`), "the Job in flight stays as it is")
	release()
	first := s.untilHandled("while-upgraded")
	s.kubectl("patch", "threescalebackup", "nightly", "--type=merge", "--patch", `{"spec":{"trigger":"after-upgrade"}}`)
	s.until("a Job of the new version", func(context.Context) error {
		if images := s.kubectl("get", "jobs", "-l", backupJobs, "-o", imageOfJobs); !strings.Contains(images, "function-threescale-backup:v0.1.1@sha256:") {
			return fmt.Errorf("the Jobs' images are %q", images)
		}
		return nil
	})
	assert.NotEqual(s.t, first, s.untilHandled("after-upgrade"))
}

// untilHandled waits until the run of a trigger has succeeded, and returns its ID.
func (s *site) untilHandled(trigger string) string {
	s.t.Helper()
	var run string
	s.until("the run of trigger "+trigger, func(context.Context) error {
		out := s.kubectl("get", "threescalebackup", "nightly", "-o", `jsonpath={.status.lastHandledTrigger} {.status.conditions[?(@.type=="BackupCompleted")].reason} {.status.runs[0].state} {.status.runs[0].id}`)
		fields := strings.Fields(out)
		if len(fields) != 4 || fields[0] != trigger || fields[1] != "Completed" || fields[2] != "Completed" {
			return fmt.Errorf("it is %q", out)
		}
		run = fields[3]
		return nil
	})
	return run
}

// holdBackups takes the lock of the backup volume, as another writer does.
func (s *site) holdBackups() (release func()) {
	s.t.Helper()
	file, err := os.OpenFile(filepath.Join(s.folderOf("nightly-backup"), ".lock"), os.O_RDWR, 0)
	require.NoError(s.t, err)
	require.NoError(s.t, unix.Flock(int(file.Fd()), unix.LOCK_EX))
	return func() { require.NoError(s.t, errors.Join(unix.Flock(int(file.Fd()), unix.LOCK_UN), file.Close())) }
}

// imageOf is the image, by digest, that the one pod with a label runs.
func (s *site) imageOf(namespace, label string) string {
	s.t.Helper()
	out, err := shared.Kubectl(s.t.Context(), "", "-n", namespace, "get", "pods", "-l", label, "-o", "jsonpath={.items[*].status.containerStatuses[*].imageID}")
	require.NoError(s.t, err)
	assert.Contains(s.t, out, "@sha256:")
	return out
}
