//go:build render

package render

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster/ports"
	"threescale.dev/backup/test/peers"
)

const targetAnnotation = "render.crossplane.io/runtime-development-target"

// TestCrank renders every example with the real `crossplane render`, calling
// the real binary of the function, and compares with the same golden files as
// TestRender.
func TestCrank(t *testing.T) {
	crank := peer(t, "crank")
	address := startFunction(t)
	eachExample(t, func(t *testing.T, e Example) {
		dir := filepath.Join(root, "examples", e.Name)
		args := []string{
			"render", filepath.Join(dir, XRFile), compositionFile(root, e.Scenario), filepath.Join(root, "examples", "functions.yaml"),
			"--required-resources", filepath.Join(dir, RequiredFile),
			"--xrd", filepath.Join(root, "manifests", e.Flavour(), "xrd.yaml"),
			"--include-full-xr", "--include-function-results",
			"--context-values", ContextNow + "=" + strconv.Quote(e.moment()),
			"--function-annotations", targetAnnotation + "=" + address,
		}
		if len(e.Observed) > 0 {
			args = append(args, "--observed-resources", filepath.Join(dir, ObservedFile))
		}
		out, err := run(t, crank, args...)
		require.NoError(t, err)
		objects, err := parseStream(out)
		require.NoError(t, err)
		got, err := Golden(objects)
		require.NoError(t, err)
		assert.Equal(t, readGolden(t, e), string(got))
	})
}

// TestCrossplaneTooOld: the last version that hands over nothing of what is
// required is told what is wrong, and changes nothing.
func TestCrossplaneTooOld(t *testing.T) {
	crank := peer(t, "crank-1.20")
	data, err := os.ReadFile(filepath.Join(root, "examples", "functions.yaml"))
	require.NoError(t, err)
	functions := filepath.Join(t.TempDir(), "functions.yaml")
	const address = "127.0.0.1:9443"
	require.Contains(t, string(data), address)
	require.NoError(t, os.WriteFile(functions, bytes.ReplaceAll(data, []byte(address), []byte(startFunction(t))), 0o644))
	for _, name := range []string{"first-backup", "running", "completed"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(root, "examples", name)
			args := []string{
				"render", filepath.Join(dir, XRFile), filepath.Join(root, "manifests", "claim", "composition.yaml"), functions,
				"--extra-resources", filepath.Join(dir, RequiredFile),
			}
			if name != "first-backup" {
				args = append(args, "--observed-resources", filepath.Join(dir, ObservedFile))
			}
			out, err := run(t, crank, args...)
			require.ErrorContains(t, err, `pipeline step "backup" returned a fatal result: this Crossplane hands no objects over`)
			assert.ErrorContains(t, err, "upgrade it to 2.0 or later")
			assert.Empty(t, out, "nothing would be composed, and nothing deleted")
		})
	}
}

// TestCrankValidates has `crossplane beta validate` read the claims, the
// composites and the rendered objects as the API server would: schema, unknown
// fields, and CEL rules.
func TestCrankValidates(t *testing.T) {
	validate := validator(t)
	eachExample(t, func(t *testing.T, e Example) {
		dir := filepath.Join(root, "examples", e.Name)
		xrd := filepath.Join(root, "manifests", e.Flavour(), "xrd.yaml")
		composite := e.XR.GetKind() + ", " + e.XR.GetName()
		for file, validated := range map[string]string{
			ClaimFile:    "ThreeScaleBackup, example",
			XRFile:       composite,
			RenderedFile: composite,
		} {
			out, err := validate(xrd, filepath.Join(dir, file))
			require.NoError(t, err, "%s: %s", file, out)
			assert.Contains(t, string(out), "Kind="+validated+" validated successfully", file)
		}
	})
}

// TestCrankRefuses shows that the validation above can fail.
func TestCrankRefuses(t *testing.T) {
	validate := validator(t)
	xrd := filepath.Join(root, "manifests", "claim", "xrd.yaml")
	for name, spec := range map[string]string{
		"no destination":    `{}`,
		"empty destination": `{backupDestination: {persistentVolumeClaim: {}}}`,
		"two destinations":  `{backupDestination: {persistentVolumeClaim: {claimName: a, volumeName: b}}}`,
		"unknown field":     `{backupDestination: {persistentVolumeClaim: {claimName: a}}, shcedule: "@daily"}`,
		"unknown policy":    `{backupDestination: {persistentVolumeClaim: {claimName: a}}, deletionPolicy: Keep}`,
		"keeps nothing":     `{backupDestination: {persistentVolumeClaim: {claimName: a}}, retention: {keepLast: 0, keepYearly: 0}}`,
		"keeps less":        `{backupDestination: {persistentVolumeClaim: {claimName: a}}, retention: {keepLast: 7, keepDaily: -1}}`,
		"verifies never":    `{backupDestination: {persistentVolumeClaim: {claimName: a}}, verify: {latestOnly: true}}`,
	} {
		t.Run(name, func(t *testing.T) {
			claim := filepath.Join(t.TempDir(), ClaimFile)
			require.NoError(t, os.WriteFile(claim, []byte("apiVersion: backup.threescale.dev/v1alpha1\nkind: ThreeScaleBackup\n"+
				"metadata: {name: a, namespace: b}\nspec: "+spec+"\n"), 0o644))
			out, err := validate(xrd, claim)
			require.Error(t, err)
			assert.Contains(t, string(out), "validation error")
		})
	}
}

// TestCrankValidatesManifests checks the XRDs and Compositions against
// Crossplane's own schemas.
func TestCrankValidatesManifests(t *testing.T) {
	validate := validator(t)
	crds := crossplaneCRDs(t)
	for _, flavour := range []string{"claim", "namespaced"} {
		for _, file := range []string{"xrd.yaml", "composition.yaml"} {
			out, err := validate(crds, filepath.Join(root, "manifests", flavour, file))
			require.NoError(t, err, "%s: %s", file, out)
			assert.Contains(t, string(out), "validated successfully", file)
		}
	}
}

// validator returns a function that runs `crossplane beta validate` with an
// extension and a resource.
//
// The command always wants the schemas of Crossplane itself, from its image.
// With a cache that seems to hold that image it needs no network.
func validator(t *testing.T) func(extension, resource string) ([]byte, error) {
	t.Helper()
	crank := peer(t, "crank")
	const image = "xpkg.crossplane.io/crossplane/crossplane:v2.2.1"
	cache := t.TempDir()
	cached := filepath.Join(cache, "xpkg.crossplane.io", "crossplane", "crossplane@v2.2.1")
	require.NoError(t, os.MkdirAll(cached, 0o750))
	schema, err := os.ReadFile(filepath.Join(root, "package", "input", "input.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(cached, "schema.yaml"), schema, 0o644))
	return func(extension, resource string) ([]byte, error) {
		return run(t, crank, "beta", "validate", extension, resource, "--cache-dir", cache, "--crossplane-image", image)
	}
}

func crossplaneCRDs(t *testing.T) string {
	t.Helper()
	dir, err := peers.ModuleDir(t.Context(), "crossplane")
	require.NoError(t, err)
	return filepath.Join(dir, "cluster", "crds")
}

func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := peers.Binary(t.Context(), name)
	require.NoError(t, err)
	return path
}

// startFunction builds the function, serves it, and returns its address.
func startFunction(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "function")
	require.NoError(t, peers.Build(t.Context(), "./fn/cmd/function", binary))
	address := freeAddress(t)
	cmd := exec.CommandContext(t.Context(), binary, "--insecure", "--address", address, "--metrics-address", "")
	log := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // killed
		if t.Failed() {
			t.Logf("the function's log:\n%s", log)
		}
	})
	require.Eventually(t, func() bool {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		return connection.Close() == nil
	}, 20*time.Second, 20*time.Millisecond, "the function does not listen")
	return address
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := ports.Free(t.Context())
	require.NoError(t, err)
	return ports.Local(port)
}

// run returns what a command prints; its standard error is in the test's log.
func run(t *testing.T, name string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if stderr.Len() > 0 {
		t.Logf("%s", stderr)
	}
	if err != nil {
		return out, fmt.Errorf("%w: %s", err, stderr)
	}
	return out, nil
}
