package controller

import (
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/fn/restore"
)

// TestLoginRefuses: what only a change of the GitRepository mends is not tried again.
func TestLoginRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		reason     string
		spec       sourcev1.GitRepositorySpec
		wantReason string
		message    string
	}{
		"GitHubWithoutSecret": {"the App's key is in it", sourcev1.GitRepositorySpec{Provider: "github"}, v1alpha1.ReasonGitFailed, "no spec.secretRef"},
		"MalformedURL":        {"the login is for a host", sourcev1.GitRepositorySpec{Provider: "azure", URL: "https://[::1"}, v1alpha1.ReasonRepositoryUnusable, "malformed spec.url"},
		"ServiceAccount": {
			"it needs a token of an account that is not the controller's",
			sourcev1.GitRepositorySpec{Provider: "azure", URL: "https://dev.azure.com/o/p/_git/r", ServiceAccountName: "pusher"},
			v1alpha1.ReasonRepositoryUnusable, `as ServiceAccount "pusher"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			repository := &sourcev1.GitRepository{Spec: tc.spec}
			repository.Name = "apps"
			w := &work{Reconciler: &Reconciler{}}
			err := w.login(t.Context(), repository, nil, &publish.Target{})
			var problem *restore.Problem
			require.ErrorAs(t, err, &problem, tc.reason)
			assert.True(t, problem.Terminal)
			assert.Equal(t, tc.wantReason, problem.Reason)
			assert.Contains(t, problem.Message, tc.message)
			assert.Contains(t, problem.Message, `GitRepository "apps"`)
		})
	}
}
