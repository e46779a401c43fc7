package examples_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shell runs a script in the repository with a kubectl that answers from
// testdata/capabilities.
func shell(t *testing.T, script string, env ...string) (stdout, stderr, calls string, err error) {
	t.Helper()
	if _, err := exec.LookPath("jq"); err != nil && os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING") == "" {
		t.Skip("needs jq")
	}
	stub, err := filepath.Abs(filepath.Join("testdata", "capabilities"))
	require.NoError(t, err)
	called := filepath.Join(t.TempDir(), "calls")
	require.NoError(t, os.WriteFile(called, nil, 0o600))
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = root
	cmd.Env = append(append(os.Environ(), "PATH="+stub+string(os.PathListSeparator)+os.Getenv("PATH"), "KUBECTL_CALLS="+called), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	runErr := cmd.Run()
	made, err := os.ReadFile(called)
	require.NoError(t, err)
	return out.String(), errs.String(), string(made), runErr
}

// listOf decodes a list and returns kind/name of each object.
func listOf(t *testing.T, text string) (names []string, objects []map[string]any) {
	t.Helper()
	var list struct {
		APIVersion, Kind string
		Items            []map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(text), &list))
	assert.Equal(t, "v1 List", list.APIVersion+" "+list.Kind, "kubectl applies it")
	for _, object := range list.Items {
		metadata, _ := object["metadata"].(map[string]any)
		names = append(names, object["kind"].(string)+"/"+metadata["name"].(string))
	}
	return names, list.Items
}

// TestSaveCapabilities: what the page's command prints can be applied again,
// and nothing in it acts.
func TestSaveCapabilities(t *testing.T) {
	out, said, calls, err := shell(t, "examples/save-capabilities.sh 3scale")
	require.NoError(t, err, said)
	names, objects := listOf(t, out)
	assert.Equal(t, []string{"Secret/ecorp-admin", "Secret/ecorp-tenant", "Secret/a-policy", "Tenant/ecorp", "Product/a"}, names,
		"Secrets first, since the others need them; nothing that acts again, nothing of somebody else, nothing of the backup")
	for i, object := range objects {
		assert.NotContains(t, object, "status", "%s: it is of another cluster", names[i])
		metadata, _ := object["metadata"].(map[string]any)
		for _, field := range []string{"uid", "resourceVersion", "ownerReferences", "finalizers", "namespace", "managedFields", "creationTimestamp", "generation"} {
			assert.NotContains(t, metadata, field, names[i])
		}
	}
	assert.Equal(t, map[string]any{"tenantID": "3"}, objects[3]["metadata"].(map[string]any)["annotations"], "by this the operator finds the tenant again")
	assert.Equal(t, map[string]any{"token": "dA=="}, objects[1]["data"], "the operator cannot make it again")
	assert.Equal(t, "not saved, since it is of another namespace: Secret sso/issuer\nnot there, though something refers to it: Secret lost\n", said)
	for call := range strings.Lines(calls) {
		assert.Regexp(t, `^(api-resources|-n 3scale get) `, call, "it reads only")
	}
}

func TestSaveCapabilitiesOdd(t *testing.T) {
	out, said, _, err := shell(t, "examples/save-capabilities.sh 3scale", "RESOURCES=one.json")
	require.NoError(t, err, said)
	names, _ := listOf(t, out)
	assert.Equal(t, []string{"Product/a"}, names, "an installation may have no Secret for it")
	assert.Empty(t, said)

	out, said, _, err = shell(t, "examples/save-capabilities.sh 3scale", "NO_CAPABILITIES=1")
	require.Error(t, err, "nothing was saved")
	assert.Empty(t, out)
	assert.Contains(t, said, "no resources of capabilities.3scale.net")

	_, said, calls, err := shell(t, "examples/save-capabilities.sh")
	require.Error(t, err)
	assert.Contains(t, said, "NAMESPACE")
	assert.Empty(t, calls)
}

// TestSaveRoutes runs the page's command for Routes: they can be applied again,
// with what their user changed, and the marks by which Zync knows its own.
func TestSaveRoutes(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "examples", "README.md"))
	require.NoError(t, err)
	_, command, found := strings.Cut(string(readme), "$ kubectl -n 3scale get routes")
	require.True(t, found)
	command, _, found = strings.Cut(command, " > routes.json\n")
	require.True(t, found)
	out, said, _, err := shell(t, "kubectl -n 3scale get routes"+command)
	require.NoError(t, err, said)
	names, objects := listOf(t, out)
	assert.Equal(t, []string{"Route/zync-3scale-api-x7q2p"}, names)
	assert.Equal(t, map[string]any{
		"name":        "zync-3scale-api-x7q2p",
		"labels":      map[string]any{"3scale.net/created-by": "zync"},
		"annotations": map[string]any{"haproxy.router.openshift.io/timeout": "60s"},
	}, objects[0]["metadata"])
	assert.NotContains(t, objects[0], "status")
	assert.Equal(t, "k", objects[0]["spec"].(map[string]any)["tls"].(map[string]any)["key"])
}
