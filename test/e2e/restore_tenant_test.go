//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestForeignRepository: a tenant writes to another namespace's repository
// only where its owner lets him, and below the path that is given to him; he
// cannot give himself that.
func TestForeignRepository(t *testing.T) {
	withFlux(t)
	w := backedUp(t)
	owner := newTenant(t, second)
	d := owner.newDelivery()
	d.gitRepository("apps", `{}`)
	mine := &delivery{tenant: w, repository: d.repository, identity: d.identity}
	in := func(path string) string {
		return fmt.Sprintf(`{path: %s, sourceRef: {name: apps, namespace: %s}}`, path, owner.namespace)
	}
	_, err := w.c.Kubectl(t.Context(), w.account.Kubeconfig, "-n", owner.namespace, "annotate", "gitrepository", "apps", "backup.threescale.dev/writers="+w.namespace+"=./")
	require.ErrorContains(t, err, "forbidden")
	mine.assertRefused(map[string]refusal{"uninvited": {"nobody let him", in("./apps"), "AccessDenied", true, "an entry " + w.namespace + "=./apps in its annotation backup.threescale.dev/writers"}})

	owner.admin("annotate", "gitrepository", "apps", "backup.threescale.dev/writers=somebody=./,"+w.namespace+"=./tenants/one")
	mine.assertRefused(map[string]refusal{
		"above":  {"not all of the repository", in("./"), "AccessDenied", true, "an entry " + w.namespace + "=./ in"},
		"beside": {"a folder whose name begins alike", in("./tenants/one-more"), "AccessDenied", true, "an entry " + w.namespace + "=./tenants/one-more in"},
		"branch": {"another branch, by the path that is his", fmt.Sprintf(`{path: ./tenants/one, sourceRef: {name: apps, namespace: %s}, git: {push: {branch: main, refspec: "+HEAD:refs/heads/production"}}}`, owner.namespace), "AccessDenied", true, "refspec"},
	})

	require.NoError(t, flux.controller.Stop())
	require.NoError(t, startController(t.Context(), "--no-cross-namespace-refs"))
	defer func() {
		require.NoError(t, flux.controller.Stop())
		require.NoError(t, startController(context.WithoutCancel(t.Context())))
	}()
	mine.assertRefused(map[string]refusal{"forbidden": {"the platform allows none", in("./tenants/one"), "AccessDenied", true, "no-cross-namespace-refs"}})
	head, err := d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	require.Len(t, head, 1, "nothing is committed")

	require.NoError(t, flux.controller.Stop())
	require.NoError(t, startController(t.Context()))
	w.ask(dr("invited", in("./tenants/one")))
	done := w.untilRestore("invited", "Ready", "True", "Restored")
	changed, err := d.repository.Changed(t.Context(), fmt.Sprint(status(done, "lastPushCommit")))
	require.NoError(t, err)
	for _, path := range changed {
		assert.Regexp(t, `^tenants/one/(base|overlays)/invited/`, path)
	}
}

// TestOneFolderTwoRestores: two of one name, from two namespaces, to one path.
func TestOneFolderTwoRestores(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	other := newTenant(t, second)
	require.NoError(t, other.apply(claim(nightly, tenGi)))
	other.untilCompleted(nightly)
	d := w.newDelivery()
	d.gitRepository("apps", `{}`)
	w.admin("annotate", "gitrepository", "apps", "backup.threescale.dev/writers="+other.namespace+"=./apps")
	for _, tenant := range []*tenant{w, other} {
		tenant.ask(dr("dr", fmt.Sprintf(`{sourceRef: {name: apps, namespace: %s}}`, w.namespace)))
	}
	done, taken := 0, 0
	for _, tenant := range []*tenant{w, other} {
		tenant.eventually("the restore to end one way or the other", func(ctx context.Context) error {
			got, err := tenant.restoreOf(ctx, "dr")
			if err != nil {
				return err
			}
			switch condition(got, "Ready")["reason"] {
			case "Restored":
				done++
				return nil
			case "FolderTaken":
				taken++
				t.Log(message(got, "Ready"))
				return nil
			}
			return fmt.Errorf("status is %v", got.Object["status"])
		})
	}
	assert.Equal(t, []int{1, 1}, []int{done, taken}, "one is restored, one is told")
	commits, err := d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	assert.Len(t, commits, 2)
}

// TestRestoreAsAccount: with a ServiceAccount named, the controller's own
// rights are of no use in the namespace.
func TestRestoreAsAccount(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	d := w.deliver()
	w.admin("create", "serviceaccount", "restorer")
	d.ask(dr("dr", `{serviceAccountName: restorer}`))
	refused := w.untilRestoreSays("dr", "forbidden")
	t.Log(message(refused, "Ready"))
	assert.Contains(t, message(refused, "Ready"), "system:serviceaccount:"+w.namespace+":restorer")
	assert.NotEqual(t, "True", condition(refused, "Stalled")["status"], "a right may come")

	role, binding := w.restorer()
	d.create(role)
	d.create(binding)
	w.untilRestore("dr", "Ready", "True", "Restored")
}

// restorer is what the example of another namespace gives to the ServiceAccount
// of a restore, in this namespace.
func (w *tenant) restorer() (role, binding string) {
	w.t.Helper()
	account, err := os.ReadFile(filepath.Join("..", "..", "examples", "restore", "other-namespace", "account.yaml"))
	require.NoError(w.t, err)
	for _, document := range splitYAML(strings.ReplaceAll(string(account), "3scale-dr", w.namespace)) {
		switch { // a RoleBinding names a Role
		case strings.Contains(document, "kind: RoleBinding\n"):
			binding = document
		case strings.Contains(document, "kind: Role\n"):
			role = document
		}
	}
	return role, binding
}
