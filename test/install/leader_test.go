//go:build e2e

package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
)

const controllerNamespace = "threescale-backup"

// restoreWhileTheLeaderDies loses the installation once more, asks for it as
// the page says, and kills the leading controller while a pod of the restore
// is at work. The other one, or the leader's next life, ends what was begun.
func (s *site) restoreWhileTheLeaderDies(r *reader, kept *installation) {
	s.t.Helper()
	// While Flux looks at the health of what it has applied, it applies nothing.
	s.kubectl("wait", "kustomization/3scale", "--for=condition=Ready", "--timeout=1m")
	s.lose(kept)
	r.follow("examples/restore/README.md", "Re-run a restore")
	s.until("a Job of the restore", func(context.Context) error {
		if s.kubectl("get", "jobs", "-l", "backup.threescale.dev/restore=dr", "-o", "name") == "" {
			return errors.New("there is none")
		}
		return nil
	})
	leader := s.leader()
	s.kill(leader)
	s.until("another leader", func(context.Context) error {
		if now := s.leader(); now == leader || now == "" {
			return fmt.Errorf("it is %q", now)
		}
		return nil
	})
	asked := s.kubectl("get", "threescalerestore", "dr", "-o", `jsonpath={.metadata.annotations.reconcile\.fluxcd\.io/forceAt}`)
	s.until("the restore to be done", func(context.Context) error {
		out := s.kubectl("get", "threescalerestore", "dr", "-o", `jsonpath={.status.lastHandledForceAt} {.status.completed} {.status.conditions[?(@.type=="Ready")].reason}`)
		if out != asked+" true Restored" {
			return fmt.Errorf("it is %q", out)
		}
		return nil
	})
	s.assertRestored(kept)
}

// leader is who holds the controllers' lease: a pod's name, and which of its lives.
func (s *site) leader() string {
	s.t.Helper()
	out, err := shared.Kubectl(s.t.Context(), "", "-n", controllerNamespace, "get", "leases", "-o", "jsonpath={.items[*].spec.holderIdentity}")
	require.NoError(s.t, err)
	return strings.TrimSpace(out)
}

// kill kills the leader's process, as the kernel does that is out of memory.
// Its pod's name is its host's.
func (s *site) kill(leader string) {
	s.t.Helper()
	pod, _, found := strings.Cut(leader, "_")
	require.True(s.t, found, leader)
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(s.t, err)
	for _, path := range environments {
		environment, err := os.ReadFile(path)
		if err != nil || !strings.Contains("\x00"+string(environment), "\x00HOSTNAME="+pod+"\x00") {
			continue // ended meanwhile, or another
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		require.NoError(s.t, err)
		require.NoError(s.t, syscall.Kill(pid, syscall.SIGKILL))
		return
	}
	require.Fail(s.t, "the leader has no process", leader)
}

// assertCommits counts those on the branch from which Flux applies.
func (s *site) assertCommits(want int, reason string) {
	s.t.Helper()
	commits, err := s.apps.Commits(s.t.Context(), "main")
	require.NoError(s.t, err)
	assert.Len(s.t, commits, want, reason)
}

// assertNothingStays looks for what is ours after it was uninstalled: the
// backup's volume, and nothing else.
func (s *site) assertNothingStays() {
	s.t.Helper()
	ours := regexp.MustCompile(`threescale-?backup|threescalerestore`)
	for _, kinds := range []string{"crd", "clusterrole", "clusterrolebinding", "namespace"} {
		s.until("our "+kinds+" to be gone", func(context.Context) error {
			if out := s.kubectl("get", kinds, "-o", "name"); ours.MatchString(out) {
				return fmt.Errorf("there are %s", out)
			}
			return nil
		})
	}
	assert.Equal(s.t, "Bound", s.kubectl("get", "persistentvolumeclaim", "nightly-backup", "-o", "jsonpath={.status.phase}"))
	for _, label := range []string{v1alpha1.LabelBackup, v1alpha1.LabelRestore} { // the 3scale operator has Roles of its own
		assert.Empty(s.t, s.kubectl("get", "jobs,roles,rolebindings", "-l", label, "-o", "name"))
	}
}
