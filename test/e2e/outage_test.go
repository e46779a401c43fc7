//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/cluster"
)

const (
	// seedOfOutages makes the pairs the same each time.
	seedOfOutages = 15
	// unnoticed is how long a component is out that nobody misses, and how long one may take to be missed.
	unnoticed, noticing = 5 * time.Second, 20 * time.Second
)

// A component is a part of the stack that can be out.
type component struct {
	name string
	// strike has it fail, and returns what brings it back.
	strike func(*scene) (back func(context.Context) error, err error)
	// missed returns what is nil as soon as it is seen that somebody misses the
	// component; nil where nobody does, or where nothing tells.
	missed func(*scene) func(context.Context) error
	// reasons are those that a condition may tell meanwhile, beside those of a work that goes well.
	reasons []string
}

// killed is a component that is killed with SIGKILL, and started again.
func killed(name string, process func(*scene) *cluster.Process) component {
	return component{name: name, strike: func(s *scene) (func(context.Context) error, error) {
		p := process(s)
		return p.Resume, p.Kill()
	}}
}

// hung is a component that stops (SIGSTOP) with all its connections, and goes on.
func hung(name string, process func(*scene) *cluster.Process) component {
	return component{name: name + " hung", strike: func(s *scene) (func(context.Context) error, error) {
		goOn, err := process(s).Hang()
		return func(context.Context) error { return goOn() }, err
	}}
}

func (c component) missedBy(missed func(*scene) func(context.Context) error) component {
	c.missed = missed
	return c
}

func (c component) telling(reasons ...string) component {
	c.reasons = reasons
	return c
}

func named(name string) func(*scene) *cluster.Process {
	return func(*scene) *cluster.Process { return shared.Process(name) }
}

// kubelet hangs, and is killed then: the node starts it again, and it finds its pods.
func kubelet() component {
	return component{name: "kubelet", strike: func(*scene) (func(context.Context) error, error) {
		pid, err := shared.Kubelet()
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
				return err
			}
			return cluster.Eventually(ctx, patience, "another kubelet", func(context.Context) error {
				if now, err := shared.Kubelet(); err != nil || now == pid {
					return cmp.Or(err, errNotYet)
				}
				return nil
			})
		}, syscall.Kill(pid, syscall.SIGSTOP)
	}}
}

// stack are the components by name.
func stack() map[string]component {
	all := map[string]component{}
	for _, c := range []component{
		killed("API server", named("kube-apiserver")).missedBy(logOf("kubelet", "connection refused")).telling(v1alpha1.ReasonFailed),
		hung("API server", named("kube-apiserver")).telling(v1alpha1.ReasonFailed),
		killed("etcd", named("etcd")).missedBy(logOf("kube-apiserver", "connection refused")).telling(v1alpha1.ReasonFailed),
		killed("Crossplane", named("crossplane")),
		killed("function", func(*scene) *cluster.Process { return shared.Function() }),
		killed("controller", func(*scene) *cluster.Process { return flux.controller }),
		kubelet(),
		killed("node", named("node")).telling(v1alpha1.ReasonFailed),
		killed("Git server", func(s *scene) *cluster.Process { return s.git }).missedBy(told("Ready", v1alpha1.ReasonGitFailed)).telling(v1alpha1.ReasonGitFailed),
		killed("source-controller", named("source-controller")).missedBy(says("Waiting for Kustomization")),
		killed("kustomize-controller", named("kustomize-controller")).missedBy(says("Waiting for Kustomization")),
		killed("object store", func(*scene) *cluster.Process { return store.Process() }).missedBy(podFailed).telling(v1alpha1.ReasonBucketUnreachable),
		killed("PostgreSQL", func(s *scene) *cluster.Process { return s.databases.system.Process() }).missedBy(podFailed).
			telling(v1alpha1.ReasonDatabaseUnreachable, v1alpha1.ReasonDatabaseFailed),
		killed("Redis", func(s *scene) *cluster.Process { return s.databases.redis.Process() }).missedBy(podFailed).telling(v1alpha1.ReasonDatabaseUnreachable),
	} {
		all[c.name] = c
	}
	return all
}

// An outage is what is out at once, at a moment of a backup or of a restore.
type outage struct {
	work, moment string
	components   []string
}

func (o outage) String() string {
	return o.work + "/" + strings.ReplaceAll(o.moment+" without "+strings.Join(o.components, " and "), " ", "_")
}

// singles has each component out in a backup and in a restore. Those of which the
// work needs nothing are out at once.
func singles() []outage {
	return []outage{
		{"Backup", whenFiles, []string{"node"}},
		{"Restore", whenPushed, []string{"API server"}},
		{"Backup", whenSnapshot, []string{"API server"}},
		{"Backup", whenFiles, []string{"API server hung"}},
		{"Backup", whenSnapshot, []string{"etcd"}},
		{"Backup", whenFiles, []string{"Crossplane"}},
		{"Backup", whenSnapshot, []string{"function"}},
		{"Backup", whenFiles, []string{"kubelet"}},
		{"Backup", whenDumped, []string{"PostgreSQL"}},
		{"Backup", whenSnapshot, []string{"Redis"}},
		{"Backup", whenCopied, []string{"object store"}},
		{"Backup", whenFiles, []string{"controller", "Git server", "source-controller", "kustomize-controller"}},
		{"Restore", whenRead, []string{"API server hung"}},
		{"Restore", whenRead, []string{"etcd"}},
		{"Restore", whenRead, []string{"Crossplane", "function"}},
		{"Restore", whenPushed, []string{"controller"}},
		{"Restore", whenWritten, []string{"kubelet"}},
		{"Restore", whenWritten, []string{"node"}},
		{"Restore", whenPushed, []string{"Git server"}},
		{"Restore", whenPushed, []string{"source-controller"}},
		{"Restore", whenPushed, []string{"kustomize-controller"}},
		{"Restore", whenWritten, []string{"object store"}},
		{"Restore", whenLoaded, []string{"PostgreSQL"}},
		{"Restore", whenLoaded, []string{"Redis"}},
	}
}

// pairs draws so many outages of two components.
func pairs(count int) []outage {
	random := rand.New(rand.NewPCG(seedOfOutages, 0))
	names := slices.Sorted(maps.Keys(stack()))
	moments := map[string][]string{"Backup": {whenSnapshot, whenDumped, whenFiles, whenCopied}, "Restore": {whenRead, whenWritten, whenLoaded, whenPushed}}
	var drawn []outage
	for range count {
		work := []string{"Backup", "Restore"}[random.IntN(2)]
		o := outage{work: work, moment: moments[work][random.IntN(len(moments[work]))]}
		for len(o.components) < 2 {
			name := names[random.IntN(len(names))]
			same := slices.ContainsFunc(o.components, func(other string) bool { return strings.HasPrefix(other, name) || strings.HasPrefix(name, other) })
			if !same {
				o.components = append(o.components, name)
			}
		}
		drawn = append(drawn, o)
	}
	return drawn
}

// outages are all singles and as many pairs as `make prove` says; without it, two singles.
func outages() []outage {
	count, err := strconv.Atoi(os.Getenv("THREESCALE_BACKUP_PROVE"))
	if err != nil {
		return singles()[:2]
	}
	return append(singles(), pairs(count)...)
}

// TestOutages has parts of the stack die or hang in the middle of a backup and of
// a restore. The work is done in the end, or has failed for a reason that tells
// the truth, and is done when it is tried again. Nothing is lost, and nothing is done twice.
func TestOutages(t *testing.T) {
	withFlux(t)
	withThreeScale(t)
	withObjectStore(t)
	stand := newStand(t)
	var lines []string
	kinds := map[string]int{}
	for _, o := range outages() {
		passed := t.Run(o.String(), func(t *testing.T) {
			s := stand.newScene(t, o)
			s.run()
			lines = append(lines, s.line())
			kinds[s.outcome]++
		})
		if !passed {
			lines = append(lines, o.String()+": FAILED")
			kinds["FAILED"]++
		}
	}
	t.Logf("%d outages (%v), 0 runs lost, 0 done twice:\n%s", len(lines), kinds, strings.Join(lines, "\n"))
}

// logOf waits for a text that a component has not yet written to its log.
func logOf(name, text string) func(*scene) func(context.Context) error {
	return func(s *scene) func(context.Context) error {
		path := filepath.Join(filepath.Dir(shared.Process("etcd").Log()), name+".log")
		before, err := os.Stat(path)
		require.NoError(s.t, err)
		return func(context.Context) error {
			log, err := os.ReadFile(path)
			if err == nil && !strings.Contains(string(log[min(before.Size(), int64(len(log))):]), text) {
				err = errNotYet
			}
			return err
		}
	}
}

// told waits until a condition has been seen with the reason.
func told(condition, reason string) func(*scene) func(context.Context) error {
	return func(s *scene) func(context.Context) error {
		return func(context.Context) error {
			if s.seen.has(condition + " " + reason) {
				return nil
			}
			return errNotYet
		}
	}
}

// says waits for a text in the message of the restore.
func says(text string) func(*scene) func(context.Context) error {
	return func(s *scene) func(context.Context) error {
		return func(ctx context.Context) error {
			u, err := s.restoreOf(ctx, "dr")
			if err == nil && !strings.Contains(message(u, "Ready"), text) {
				err = fmt.Errorf("it says %q", message(u, "Ready"))
			}
			return err
		}
	}
}

// podFailed waits for a pod that has failed.
func podFailed(s *scene) func(context.Context) error {
	return func(ctx context.Context) error {
		var pods corev1.PodList
		if err := shared.Client().List(ctx, &pods, client.InNamespace(s.namespace)); err != nil {
			return err
		}
		if !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed }) {
			return errNotYet
		}
		return nil
	}
}
