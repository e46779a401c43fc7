package controller

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/commit/githubapp"
	"threescale.dev/backup/fn/confine"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/test/canary"
)

// childOfTest makes this test's own program a child process, as the controller does.
const childOfTest = "child-of-a-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childOfTest {
		os.Exit(confine.Serve(os.Args[2:], os.Stdin, os.Stdout, commit.Worker{GitHubApp: githubapp.Login}.Do))
	}
	os.Exit(m.Run())
}

// newTestChildren starts this test's program; with the race detector it needs some times the memory.
func newTestChildren(t *testing.T, limits confine.Limits) *Children {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return NewChildren(confine.Program{self, childOfTest}, limits, 1)
}

// TestCanaries: no malformed Secret that a restore reads before its first pod is quoted by a condition or an event. The forms in which
// a value is malformed are many in package commit, where the child's own words are looked at; here it is what becomes of them.
func TestCanaries(t *testing.T) {
	children := newTestChildren(t, confine.Limits{Memory: 512 << 20, Time: time.Minute})
	kinds := map[string]struct {
		keys    []string
		prepare func(*sourcev1.GitRepository, *v1alpha1.ThreeScaleRestore)
	}{
		"Login": {[]string{"username", "password", "bearerToken", "ca.crt", "tls.crt", "tls.key"}, func(g *sourcev1.GitRepository, _ *v1alpha1.ThreeScaleRestore) {
			g.Spec.SecretRef = &fluxmeta.LocalObjectReference{Name: "malformed"}
		}},
		"SSH": {[]string{"identity", "known_hosts", "password"}, func(g *sourcev1.GitRepository, _ *v1alpha1.ThreeScaleRestore) {
			g.Spec.URL = "ssh://git@127.0.0.1:1/r.git"
			g.Spec.SecretRef = &fluxmeta.LocalObjectReference{Name: "malformed"}
		}},
		"Proxy": {[]string{"address", "username", "password"}, func(g *sourcev1.GitRepository, _ *v1alpha1.ThreeScaleRestore) {
			g.Spec.ProxySecretRef = &fluxmeta.LocalObjectReference{Name: "malformed"}
		}},
		"ProxyOfProvider": {[]string{"address"}, func(g *sourcev1.GitRepository, _ *v1alpha1.ThreeScaleRestore) {
			g.Spec.Provider, g.Spec.URL = "azure", "https://dev.azure.com/contoso/p/_git/r"
			g.Spec.ProxySecretRef = &fluxmeta.LocalObjectReference{Name: "malformed"}
		}},
		"GitHubApp": {[]string{"githubAppID", "githubAppInstallationID", "githubAppPrivateKey", "githubAppBaseURL"}, func(g *sourcev1.GitRepository, _ *v1alpha1.ThreeScaleRestore) {
			g.Spec.Provider = "github"
			g.Spec.SecretRef = &fluxmeta.LocalObjectReference{Name: "malformed"}
		}},
	}
	identities, err := ParseIdentities([]string{"3scale=https://dev.azure.com/contoso"})
	require.NoError(t, err)
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			for _, key := range kind.keys {
				for _, value := range []string{canary.Text, "http://user:" + canary.Text + "@[::1", "http://127.0.0.1:" + canary.Text} {
					secret := &corev1.Secret{Data: map[string][]byte{key: []byte(value)}}
					secret.Namespace, secret.Name = "3scale", "malformed"
					c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(secret).Build()
					repository := &sourcev1.GitRepository{Spec: sourcev1.GitRepositorySpec{URL: "http://127.0.0.1:1/r.git"}}
					repository.Namespace, repository.Name = "3scale", "apps"
					obj := someRestore()
					obj.Namespace, obj.Name = "3scale", "dr"
					kind.prepare(repository, obj)
					recorder := events.NewFakeRecorder(8)
					recorder.Verbose = true // with the annotations
					w := &work{Reconciler: &Reconciler{Client: c, AnnotatedEventRecorder: recorder, Now: time.Now, Children: children, Identities: identities}, restore: obj, tenant: c}
					w.state = restore.State{Facts: restore.Facts{Restore: obj, Repository: repository}}

					before := obj.DeepCopy()
					branch, err := w.readBranch(t.Context())
					w.endTurn()
					d := restore.Stop{}
					if err == nil {
						d.Problem = branch.Problem
					} else if stopped, other := w.stopped(err); other == nil {
						d = stopped.(restore.Stop)
					} else {
						d.Problem = &restore.Problem{Reason: v1alpha1.ReasonFailed, Message: other.Error()} // as it is logged, too
					}
					require.NotNil(t, d.Problem, "%s cannot be used", key)
					conclude(obj, d)
					w.notify(before, obj)
					close(recorder.Events)
					said, err := json.Marshal(obj.Status)
					require.NoError(t, err)
					texts := []string{string(said)}
					for event := range recorder.Events {
						texts = append(texts, event)
					}
					require.Len(t, texts, 2)
					assert.Empty(t, canary.Found(strings.Join(texts, "\n")), "%s: %s", key, texts)
				}
			}
		})
	}
}

// TestLimitExceeded: a child that dies costs its restore a condition that says what to do, and the controller goes on.
func TestLimitExceeded(t *testing.T) {
	children := newTestChildren(t, confine.Limits{Memory: 8 << 20, Time: time.Minute})
	obj := someRestore()
	w := &work{Reconciler: &Reconciler{Children: children}, restore: obj, state: restore.State{Facts: restore.Facts{Restore: obj, Repository: &sourcev1.GitRepository{}}}}
	_, err := w.ask(t.Context(), "read it", commit.Request{Inspect: &commit.Place{Root: strings.Repeat("x", 24<<20)}})
	w.endTurn()
	var problem *restore.Problem
	require.ErrorAs(t, err, &problem)
	assert.Equal(t, v1alpha1.ReasonLimitExceeded, problem.Reason)
	assert.False(t, problem.Terminal, "the server may answer otherwise")
	assert.Contains(t, problem.Message, "more than the 8 MiB of memory")
	assert.Contains(t, problem.Message, "--child-memory")
}

// TestWaitsForItsTurn: who has no place blocks no worker, and says so.
func TestWaitsForItsTurn(t *testing.T) {
	children := newTestChildren(t, confine.Limits{Memory: 512 << 20, Time: time.Minute})
	first, second := someRestore(), someRestore()
	first.Namespace, second.Namespace = "one", "two"
	a := &work{Reconciler: &Reconciler{Children: children}, restore: first}
	b := &work{Reconciler: &Reconciler{Children: children}, restore: second}
	require.NoError(t, a.takeTurn())
	require.NoError(t, a.takeTurn(), "it has one")
	decision, err := b.stopped(b.takeTurn())
	require.NoError(t, err)
	waits, ok := decision.(restore.Wait)
	require.True(t, ok)
	assert.Contains(t, waits.Message, "its turn")
	assert.LessOrEqual(t, waits.Retry, time.Minute)
	a.endTurn()
	woken := <-children.woken
	assert.Equal(t, "two", woken.Object.Namespace)
	require.NoError(t, b.takeTurn())
	b.endTurn()
}
