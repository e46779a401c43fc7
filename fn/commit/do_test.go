package commit_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/confine"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/test/gitserver"
)

// usual are the limits that the controller has by default.
var usual = confine.Limits{Memory: roomy(112 << 20), Time: 5 * time.Minute}

// TestBuildInChild: a tree is the same whoever builds it.
func TestBuildInChild(t *testing.T) {
	source := newTreeInput(t)
	answer, err := ask(t, usual, commit.Request{Build: &source})
	require.NoError(t, err)
	require.Nil(t, answer.Failure)
	want := newTree(t)
	require.Len(t, answer.Tree.Objects, len(want.Objects))
	for _, raw := range answer.Tree.Objects {
		object := &unstructured.Unstructured{}
		require.NoError(t, utiljson.Unmarshal(raw, &object.Object))
		assert.Equal(t, want.Objects[overlay.Key{Kind: object.GetKind(), Name: object.GetName()}], object)
	}
	assert.Equal(t, want.Rewritten, answer.Tree.Rewritten)
	assert.Empty(t, answer.Tree.Files, "the parent needs none, and they are large")
}

// TestPublishInChild: what a child looks at and commits is what this process would, over a login that is in the request.
func TestPublishInChild(t *testing.T) {
	alice := newParty(t)
	server, err := gitserver.Start(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	repository, err := server.CreateRepository(t.Context(), "apps", "main", "")
	require.NoError(t, err)
	_, err = repository.Push(t.Context(), gitserver.Change{Branch: "main", Message: "Rules", Files: map[string][]byte{".sops.yaml": []byte(alice.rules())}})
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		url  string
		auth map[string][]byte
	}{
		"HTTPS": {repository.HTTPS(), server.TLSAuth()},
		"SSH":   {repository.SSH(), server.SSHAuth()},
	} {
		t.Run(name, func(t *testing.T) {
			place := commit.Place{
				Target: publish.Target{URL: tc.url, Branch: "main", Auth: tc.auth}, Root: "apps/" + name, Name: "dr", Namespace: "3scale-dr",
				Trailer: publish.Trailer{Key: "Threescale-Restore", Subject: "3scale-dr/dr", Value: name},
				Plain:   []overlay.Key{{Kind: "APIManager"}}, Sensitive: []overlay.Key{{Kind: "Secret", Name: "zync"}},
			}
			answer, err := ask(t, usual, commit.Request{Inspect: &place})
			require.NoError(t, err)
			require.Nil(t, answer.Failure)
			assert.Nil(t, answer.Branch.Problem)
			assert.False(t, answer.Branch.Found)

			publication := &commit.Publication{Place: place, TreeInput: newTreeInput(t), AuthorName: "A", AuthorEmail: "a@example.org",
				Template: "Restore {{ .Objects }} objects of {{ .Source.APIManager }} for {{ .Values.ticket }}",
				Message:  commit.Message{Source: map[string]string{"APIManager": "example"}, Objects: 19, Values: map[string]string{"ticket": "OPS-1"}}}
			answer, err = ask(t, usual, commit.Request{Publish: publication})
			require.NoError(t, err)
			require.Nil(t, answer.Failure)
			require.True(t, answer.Published.Pushed)
			log, err := repository.Commits(t.Context(), "main")
			require.NoError(t, err)
			assert.Contains(t, log[0].Message, "Restore 19 objects of example for OPS-1")
			data, err := repository.ReadFile(t.Context(), "main", "apps/"+name+"/base/dr/secret-zync.yaml")
			require.NoError(t, err)
			assert.Contains(t, string(data), alice.recipient)

			answer, err = ask(t, usual, commit.Request{Inspect: &place})
			require.NoError(t, err)
			assert.True(t, answer.Branch.Found, "the record is found again")
		})
	}
}

// TestFailuresTravel: what a child finds wrong is told as it is, and without a word of what it was given.
func TestFailuresTravel(t *testing.T) {
	server, err := gitserver.Start(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	repository, err := server.CreateRepository(t.Context(), "apps", "main", "")
	require.NoError(t, err)
	push := func(files map[string]string) {
		data := map[string][]byte{}
		for name, text := range files {
			data[name] = []byte(text)
		}
		_, err = repository.Push(t.Context(), gitserver.Change{Branch: "main", Message: "Files", Files: data})
		require.NoError(t, err)
	}
	alice := newParty(t)
	push(map[string]string{"README.md": "x", "hidden/.sourceignore": "secret-my-*", "hidden/.sops.yaml": alice.rules(), "taken/overlays/dr/kustomization.yaml": "resources: []", "taken/.sops.yaml": alice.rules()})
	place := func(root string) commit.Place {
		return commit.Place{Target: publish.Target{URL: repository.HTTP(), Branch: "main", Auth: server.BasicAuth()}, Root: root, Name: "dr", Namespace: "3scale-dr",
			Trailer: publish.Trailer{Key: "Threescale-Restore", Subject: "3scale-dr/dr", Value: "x"}}
	}
	publication := func(root, template string, source commit.TreeInput) commit.Request {
		return commit.Request{Publish: &commit.Publication{Place: place(root), TreeInput: source, AuthorName: "A", AuthorEmail: "a@example.org", Template: template}}
	}
	own := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "my-own"}, "type": "Opaque", "data": map[string]any{"key": "Y2FuYXJ5"}}}
	withOwn := newTreeInput(t, func(in *overlay.Input) {
		in.Objects = append(in.Objects, own)
		in.Admitted = append(in.Admitted, overlay.Key{Kind: "Secret", Name: "my-own"})
		for _, object := range in.Objects {
			if object.GetKind() == "APIManager" {
				object.Object["spec"].(map[string]any)["apicast"] = map[string]any{"stagingSpec": map[string]any{"customPolicies": []any{map[string]any{"name": "p", "version": "1", "secretRef": map[string]any{"name": "my-own"}}}}}
			}
		}
	})
	odd := newTreeInput(t)
	odd.Objects[0] = json.RawMessage(`["canary-of-a-secret"]`)
	for name, tc := range map[string]struct {
		reason  string
		request commit.Request
		kind    commit.Kind
		git     publish.Reason
		within  string
	}{
		"NoRules":  {"nobody could decrypt", publication("plain", "x", newTreeInput(t)), commit.NoRecipients, "", ".sops.yaml"},
		"Taken":    {"it was written by hand", publication("taken", "x", newTreeInput(t)), commit.FolderTaken, "", "taken/overlays/dr/kustomization.yaml"},
		"Hidden":   {"a Secret that only this installation has is asked about too, before the push", publication("hidden", "x", withOwn), commit.FileIgnored, "", "hidden/base/dr/secret-my-own.yaml"},
		"Template": {"a user's own", publication("hidden", "{{", newTreeInput(t)), commit.GitFailed, publish.InvalidInput, "template"},
		"Object":   {"what was handed over is not what a backup holds", publication("hidden", "x", odd), commit.TreeRefused, "", "object 1"},
		"Branch":   {"the server says so", func() commit.Request { p := place("."); p.Target.Branch = "none"; return commit.Request{Inspect: &p} }(), commit.GitFailed, publish.BranchNotFound, `"none"`},
		"Nothing":  {"a mistake of ours", commit.Request{}, commit.Crashed, "", "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := ask(t, usual, tc.request)
			require.NoError(t, err)
			require.NotNil(t, answer.Failure, tc.reason)
			assert.Equal(t, tc.kind, answer.Failure.Kind, answer.Failure.Message)
			assert.Equal(t, tc.git, answer.Failure.Reason)
			assert.Contains(t, answer.Failure.Message, tc.within)
			assert.NotContains(t, fmt.Sprint(answer.Failure), "canary")
		})
	}
}
