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
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: app}\ndata:\n  key: %\n"
	cases := map[string]struct {
		reason string
		value  string
		more   string
		says   string // the error; empty: there is none
	}{
		"Encrypted": {"as SOPS leaves it", "ENC[AES256_GCM,data:x]", "sops: {mac: 'ENC[x]'}\n", ""},
		"Empty":     {"there is nothing to encrypt", "''", "sops: {mac: 'ENC[x]'}\n", ""},
		"Plaintext": {"it must not be passed over", "c2VjcmV0", "", "1 Secrets are not encrypted"},
		"Half":      {"one value was forgotten", "c2VjcmV0", "sops: {mac: 'ENC[x]'}\n", "1 Secrets are not encrypted"},
		"Malformed": {"kustomize cannot build it", "{", "", "cannot build"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			content := bytes.ReplaceAll([]byte(secret), []byte("%"), []byte(tc.value))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "secret.yaml"), append(content, tc.more...), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte("namespace: dr\nresources: [secret.yaml]\n"), 0o600))
			var stdout bytes.Buffer
			err := run([]string{dir}, &stdout)
			assert.NotContains(t, stdout.String(), tc.value)
			if tc.says != "" {
				require.ErrorContains(t, err, tc.says, tc.reason)
				return
			}
			require.NoError(t, err, tc.reason)
			assert.Regexp(t, `dr +Secret +app +encrypted`, stdout.String())
		})
	}
	require.Error(t, run(nil, &bytes.Buffer{}))
}
