package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	files, manifests := filepath.Join(t.TempDir(), "files"), filepath.Join(t.TempDir(), "manifests")
	var stdout bytes.Buffer
	require.NoError(t, run([]string{"-set", "S", "-seed", "7", "-out", files, "-manifests", manifests, "-applicable"}, &stdout))
	assert.Contains(t, stdout.String(), `"files":120`)
	assert.DirExists(t, filepath.Join(files, "tenant-001"))
	content, err := os.ReadFile(filepath.Join(manifests, "apimanager-example.yaml"))
	require.NoError(t, err)
	assert.NotContains(t, string(content), "resourceVersion")
}

func TestRunRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"Nothing":  {"a call without a place does nothing", nil, "nothing to do"},
		"Set":      {"there is no such set", []string{"-set", "XXL", "-out", t.TempDir()}, "cannot find set"},
		"Flag":     {"there is no such flag", []string{"-nope"}, "flag provided but not defined"},
		"NotEmpty": {"files would be mixed", []string{"-out", "."}, "it is not empty"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, run(tc.args, &bytes.Buffer{}), tc.want, tc.reason)
		})
	}
}
