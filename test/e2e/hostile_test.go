//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/gitserver"
)

const (
	// secretOfOthers stands in a Secret of the hostile namespace that its author may
	// not read.
	secretOfOthers = "c4n4ry-in-a-proxy"
	// mostMemory is what the controller may take, with all that it starts.
	mostMemory = 256 << 20
	// restores are timed in both weathers.
	timedRestores = 3
)

// TestHostileNamespace has somebody do all that he may do in his own namespace to
// stop the restores of another one, or to learn of it.
func TestHostileNamespace(t *testing.T) {
	withFlux(t)
	w := backedUp(t)
	d := w.newDelivery()
	d.gitRepository("apps", `{}`)
	h := hostile{newTenant(t, second), w}
	h.withoutFlux()
	h.hurryChildren()
	calm := w.timed(d, "calm", timedRestores)

	controller := flux.controller
	memory := h.watchMemory(controller.PID())
	h.attack()
	stormy := w.timed(d, "stormy", timedRestores)
	h.assertTold()
	h.untilQuiet()
	peak := memory()
	t.Logf("a restore took %s before and %s beside the hostile namespace, in the middle of %d; the controller's peak memory was %d MiB", calm, stormy, timedRestores, peak>>20)

	assert.LessOrEqual(t, stormy, 2*calm)
	assert.LessOrEqual(t, peak, int64(mostMemory))
	select {
	case <-controller.Done():
		assert.Fail(t, "the controller has ended")
	default:
	}
	h.assertBlind()
}

// timed restores again and again, and returns the middle of the times that it took.
func (w *tenant) timed(d *delivery, name string, times int) time.Duration {
	w.t.Helper()
	var took []time.Duration
	for n := range times {
		name := fmt.Sprintf("%s-%d", name, n)
		start := time.Now()
		d.ask(dr(name, `{}`))
		w.untilRestore(name, "Ready", "True", "Restored")
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2].Round(10 * time.Millisecond)
}

// hostile is a tenant who would stop, or spy on, a friendly one.
type hostile struct {
	*tenant
	friend *tenant
}

// withoutFlux keeps the attack from Flux, whose own controllers no test is to try:
// no restore of this one waits for them.
func (h hostile) withoutFlux() {
	h.t.Helper()
	require.NoError(h.t, shared.StopFlux())
	h.t.Cleanup(func() {
		ctx := context.WithoutCancel(h.t.Context())
		_, err := shared.Kubectl(ctx, "", "-n", h.namespace, "delete", "gitrepositories", "--all")
		require.NoError(h.t, err)
		require.NoError(h.t, shared.RestartFlux(ctx))
	})
}

// hurryChildren has those of the controller end sooner than they would have to: one
// after the other they wait for servers that never speak.
func (h hostile) hurryChildren() {
	h.t.Helper()
	require.NoError(h.t, flux.controller.Stop())
	h.t.Cleanup(func() {
		require.NoError(h.t, flux.controller.Stop())
		require.NoError(h.t, startController(context.WithoutCancel(h.t.Context())))
	})
	require.NoError(h.t, startController(h.t.Context(), "--child-timeout=20s"))
}

// attacks are his restores, by name, with the GitRepository that each names, and the
// reason that each has to come to; "" where there is none that it must.
type attack struct {
	repository, spec, reason string
}

func (h hostile) attacks() map[string]attack {
	var loop strings.Builder
	loop.WriteString(`{{define "0"}}{{end}}`)
	for n := range 40 {
		fmt.Fprintf(&loop, `{{define "%d"}}{{template "%d"}}{{template "%[2]d"}}{{end}}`, n+1, n)
	}
	loop.WriteString(`{{template "40"}}`)
	impatient := `retryInterval: 1ms, interval: 1ms`
	return map[string]attack{
		"loop":       {"own", fmt.Sprintf(`{git: {commit: {messageTemplate: %q}}, %s}`, loop.String(), impatient), ""},
		"references": {"references", `{` + impatient + `}`, ""},
		"bomb":       {"bomb", `{` + impatient + `}`, ""},
		"silent":     {"silent", `{` + impatient + `}`, "GitFailed"},
		"slow-proxy": {"slow-proxy", `{` + impatient + `}`, ""},
		"malformed":  {"malformed-proxy", `{` + impatient + `}`, "GitFailed"},
		"azure":      {"azure", `{` + impatient + `}`, "AccessDenied"},
		"failing":    {"nowhere", `{` + impatient + `}`, "RepositoryNotFound"},
		"volume":     {"own", fmt.Sprintf(`{restoreSource: {persistentVolume: {volumeName: %s}}, %s}`, h.friend.persistentVolume(nightlyVolume), impatient), "SourceUnusable"},
		"spying":     {h.friend.namespace + "/apps", `{` + impatient + `}`, "AccessDenied"},
		"guessing":   {h.friend.namespace + "/guessed", `{` + impatient + `}`, "AccessDenied"},
	}
}

// refusedClaims are his ThreeScaleBackups, with the reason that each is told.
func (h hostile) refusedClaims() map[string]struct{ spec, reason string } {
	destination := `backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}`
	beside := `{podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, namespaceSelector: {}, labelSelector: {}}]}}`
	return map[string]struct{ spec, reason string }{
		"beside":   {fmt.Sprintf(`{%s, job: {affinity: %s}}`, destination, beside), "JobRefused"},
		"first":    {fmt.Sprintf(`{%s, job: {priorityClassName: system-cluster-critical}}`, destination), "JobRefused"},
		"root":     {fmt.Sprintf(`{%s, job: {podSecurityContext: {runAsUser: 0}}}`, destination), "JobRefused"},
		"grabbing": {fmt.Sprintf(`{backupDestination: {persistentVolumeClaim: {volumeName: %s}}}`, h.friend.persistentVolume(nightlyVolume)), "VolumeNotAvailable"},
	}
}

// attack has him do all of it at once.
func (h hostile) attack() {
	h.t.Helper()
	require.NoError(h.t, h.apply(claim(nightly, tenGi)))
	h.untilCompleted(nightly)
	h.serve()
	h.storeUndecodable()
	h.storeLarge()
	for name, c := range h.refusedClaims() {
		require.NoError(h.t, h.apply(claim(name, c.spec)))
	}
	for name, a := range h.attacks() {
		namespace, repository, ok := strings.Cut(a.repository, "/")
		if !ok {
			namespace, repository = h.namespace, a.repository
		}
		h.ask(dr(name, merge(a.spec, fmt.Sprintf(`{sourceRef: {name: %s, namespace: %s}}`, repository, namespace))))
	}
}

// serve makes his GitRepositories, and the servers behind them.
func (h hostile) serve() {
	h.t.Helper()
	own := h.newDelivery()
	own.gitRepository("own", `{}`)
	h.repositoryAt("references", h.server(gitserver.EndlessReferences())+"/r.git", `{}`)
	h.repositoryAt("bomb", h.server(gitserver.Bomb(gitserver.PackedBlob, "", 0, 900<<20))+"/r.git", `{}`)
	h.makeSecret("ssh", flux.git.SSHAuth())
	h.repositoryAt("silent", "ssh://git@"+h.silent()+"/r.git", `{secretRef: {name: ssh}, timeout: 60m}`)
	h.makeSecret("slow-proxy", map[string][]byte{"address": []byte("http://" + h.silent())})
	friends := &delivery{tenant: h.friend}
	url := friends.repositoryURL()
	h.makeSecret("git-of-his", flux.git.BasicAuth())
	h.repositoryAt("slow-proxy", url, `{proxySecretRef: {name: slow-proxy}, secretRef: {name: git-of-his}, timeout: 60m}`)
	h.makeSecret("malformed-proxy", map[string][]byte{"address": []byte("http://user:" + secretOfOthers + "@%zz:x")})
	h.repositoryAt("malformed-proxy", url, `{proxySecretRef: {name: malformed-proxy}}`)
	h.repositoryAt("azure", h.server(http.NotFoundHandler())+"/r.git", `{provider: azure}`)
}

// repositoryURL is where the tenant's repository is.
func (d *delivery) repositoryURL() string {
	return flux.git.Address() + "/" + d.namespace + ".git"
}

func (h hostile) repositoryAt(name, url, spec string) {
	h.t.Helper()
	h.create(fmt.Sprintf(`{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: %s}, spec: %s}`, name, merge(fmt.Sprintf(`{interval: 1h, url: %q, ref: {branch: main}}`, url), spec)))
}

func (h hostile) server(handler http.Handler) string {
	server := httptest.NewServer(handler)
	h.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// silent is the address of a server that accepts and never speaks.
func (h hostile) silent() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(h.t, err)
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, connection)
			mu.Unlock()
		}
	}()
	h.t.Cleanup(func() {
		assert.NoError(h.t, listener.Close())
		mu.Lock()
		defer mu.Unlock()
		for _, connection := range open {
			_ = connection.Close() // the other end may have done so
		}
	})
	return listener.Addr().String()
}

// undecodable was admitted by the schema of an earlier release.
const undecodable = "undecodable"

// storeUndecodable stores a restore that the Go type does not hold: the present
// schema refuses it, the one of an earlier release did not.
func (h hostile) storeUndecodable() {
	h.t.Helper()
	asked := dr(undecodable, `{timeout: 9999999999h}`)
	require.ErrorContains(h.t, h.apply(inNamespace(h.t, asked, h.namespace)), "spec.timeout")
	file := filepath.Join("..", "..", "manifests", "crd", "restore.yaml")
	shipped, err := os.ReadFile(file)
	require.NoError(h.t, err)
	earlier := strings.NewReplacer(`^([0-9]{1,5}(\.[0-9]{1,5})?(ms|s|m|h))+$`, `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`, "maxLength: 24\n", "maxLength: 99\n").Replace(string(shipped))
	require.NotEqual(h.t, string(shipped), earlier)
	require.NoError(h.t, h.c.ApplyYAML(h.t.Context(), []byte(earlier)))
	h.eventually("the earlier schema to be served", func(context.Context) error {
		return h.apply(inNamespace(h.t, asked, h.namespace))
	})
	require.NoError(h.t, h.c.Apply(h.t.Context(), file))
}

// storeLarge stores Secrets that look as if they were handed over.
func (h hostile) storeLarge() {
	h.t.Helper()
	data := map[string][]byte{"large": []byte(strings.Repeat("x", 1000<<10))}
	for n := range 100 {
		require.NoError(h.t, h.c.Client().Create(h.t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("large-%d", n), Namespace: h.namespace, Labels: map[string]string{"backup.threescale.dev/restore": "bomb"}},
			Data:       data,
		}))
	}
}

// assertTold: each of his restores tells him why it does not go on.
func (h hostile) assertTold() {
	h.t.Helper()
	h.untilRestore(undecodable, "Stalled", "True", "InvalidSpec")
	for name, c := range h.refusedClaims() {
		h.t.Log(message(h.untilReason(name, "PreflightPassed", c.reason), "PreflightPassed"))
	}
	for name, a := range h.attacks() {
		if a.reason != "" {
			h.untilRestore(name, "Ready", "False", a.reason)
			continue
		}
		h.eventually("restore "+name+" to tell why it fails", func(ctx context.Context) error {
			got, err := h.restoreOf(ctx, name)
			if err == nil && condition(got, "Ready")["status"] != "False" {
				return fmt.Errorf("status is %v", got.Object["status"])
			}
			return err
		})
	}
	for name := range h.attacks() {
		got, err := h.restoreOf(h.t.Context(), name)
		require.NoError(h.t, err)
		h.t.Logf("%s: %v: %s", name, condition(got, "Ready")["reason"], message(got, "Ready"))
	}
}

// untilQuiet waits until nothing that was started for him is left.
func (h hostile) untilQuiet() {
	h.t.Helper()
	_, err := h.c.Kubectl(h.t.Context(), "", "-n", h.namespace, "delete", "threescalerestores", "--all")
	require.NoError(h.t, err)
	h.eventually("the controller to have ended what it started", func(context.Context) error {
		if started := descendants(flux.controller.PID()); len(started) > 0 {
			return fmt.Errorf("%d processes", len(started))
		}
		return nil
	})
}

// assertBlind: nothing that he can read tells of the other namespace, or a value of a
// Secret.
func (h hostile) assertBlind() {
	h.t.Helper()
	for _, kinds := range []string{"threescalerestores", "threescalebackups", "events", "configmaps", "jobs,pods"} {
		out, err := h.c.Kubectl(h.t.Context(), h.account.Kubeconfig, "-n", h.namespace, "get", kinds, "-o", "yaml", "--show-managed-fields")
		require.NoError(h.t, err)
		var list struct {
			Items []map[string]any `json:"items"`
		}
		require.NoError(h.t, yaml.Unmarshal([]byte(out), &list))
		for _, item := range list.Items {
			delete(item, "spec") // which he wrote
			said, err := yaml.Marshal(item)
			require.NoError(h.t, err)
			assert.NotContains(h.t, string(said), secretOfOthers, kinds)
			told := strings.NewReplacer(h.namespace, "", (&delivery{tenant: h.friend}).repositoryURL(), "", h.friend.namespace+"/apps", "", h.friend.namespace+"/guessed", "").Replace(string(said)) // he named those himself
			assert.NotContains(h.t, told, h.friend.namespace, kinds)
		}
	}
	log, err := os.ReadFile(flux.controller.Log())
	require.NoError(h.t, err)
	assert.NotContains(h.t, string(log), secretOfOthers)
}

// watchMemory watches what a process and all that it starts take, until the returned
// function is called, which returns the most that it was, in bytes.
func (w *tenant) watchMemory(pid int) func() int64 {
	var most atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				var sum int64
				for _, id := range append(descendants(pid), pid) {
					sum += proportional(id)
				}
				most.Store(max(most.Load(), sum))
			}
		}
	}()
	end := sync.OnceFunc(func() { close(stop); <-done })
	w.t.Cleanup(end)
	return func() int64 {
		end()
		return most.Load()
	}
}

// descendants are the processes that a process has started, and theirs.
func descendants(pid int) []int {
	var out []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err != nil {
			continue // it has ended
		}
		for field := range strings.FieldsSeq(string(data)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(append(out, child), descendants(child)...)
			}
		}
	}
	return out
}

// proportional is the memory of a process, of what it shares with others its part.
func proportional(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0 // it has ended
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Pss:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err == nil {
				return kilobytes << 10
			}
		}
	}
	return 0
}
