package sops_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/test/decrypt"
)

// Neither the environment nor a home directory has a say, and nothing is started or called: every name that SOPS knows points to a trap.
func TestUsesNothingAround(t *testing.T) {
	alice, eve := newParty(t), newParty(t)
	dir := t.TempDir()
	trap := filepath.Join(dir, "sprung")
	for _, program := range []string{"gpg", "gpg2", "age", "age-plugin-yubikey", "age-plugin-tag", "keys"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\necho $0 >>"+trap+"\n"+"echo '"+string(eve.identity)+"'\n"), 0o700))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sops", "age"), 0o700))
	for _, file := range []string{".sops.yaml", "sops/age/keys.txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(rulesFor(eve)), 0o600))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	called := make(chan struct{}, 1)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Close()
			select {
			case called <- struct{}{}:
			default:
			}
		}
	}()
	url := "http://" + listener.Addr().String()
	for name, value := range map[string]string{
		"SOPS_AGE_RECIPIENTS": eve.recipient, "SOPS_AGE_KEY": string(eve.identity), "SOPS_AGE_KEY_CMD": "keys", "SOPS_AGE_KEY_FILE": filepath.Join(dir, "sops/age/keys.txt"),
		"SOPS_AGE_SSH_PRIVATE_KEY_CMD": "keys", "SOPS_AGE_SSH_PRIVATE_KEY_FILE": filepath.Join(dir, "keys"), "SOPS_CONFIG": filepath.Join(dir, ".sops.yaml"),
		"SOPS_KMS_ARN": "arn:aws:kms:x:1:key/y", "SOPS_PGP_FP": "FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4", "SOPS_GPG_EXEC": "gpg", "SOPS_GCP_KMS_IDS": "a", "SOPS_VAULT_URIS": url, "SOPS_AZURE_KEYVAULT_URLS": url,
		"VAULT_ADDR": url, "HTTP_PROXY": url, "HTTPS_PROXY": url, "HOME": dir, "XDG_CONFIG_HOME": dir, "PATH": dir, "SOPS_EDITOR": "keys",
	} {
		t.Setenv(name, value)
	}
	t.Chdir(dir)

	given := forRecipients(t, alice)
	byRules := sops.ForRepository(repository(map[string]string{".sops.yaml": rulesFor(alice)}))
	for _, e := range []*sops.Encrypter{given, byRules} {
		got, err := e.Recipients(secretPath)
		require.NoError(t, err)
		assert.Equal(t, []string{alice.recipient}, got)
		out, err := e.Encrypt(secretPath, []byte(secret))
		require.NoError(t, err)
		_, err = decrypt.Document(out, eve.identity)
		require.ErrorIs(t, err, decrypt.ErrUnreadable)
	}
	for _, keys := range []string{
		"azure_keyvault: https://" + listener.Addr().String() + "/keys/a", "hc_vault_transit_uri: " + url + "/v1/a/keys/b", "kms: \"arn:aws:kms:x:1:key/y\"",
		"gcp_kms: projects/a", "pgp: FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4", "hckms: [\"x:a\"]", "age: age1yubikey1q0rse",
	} {
		_, err := sops.ForRepository(repository(map[string]string{".sops.yaml": "creation_rules: [{" + keys + ", " + scopeLine + "}]"})).Encrypt(secretPath, []byte(secret))
		require.ErrorContains(t, err, `by creation rule 1 of ".sops.yaml"`, keys)
	}
	_, err = os.Stat(trap)
	require.ErrorIs(t, err, fs.ErrNotExist, "a program was started")
	select {
	case <-called:
		t.Fatal("something was called")
	default:
	}
}

// The package itself imports nothing that could call or start anything, nor SOPS' own key services and rules.
func TestImports(t *testing.T) {
	allowed := []string{
		"github.com/getsops/sops/v3", "github.com/getsops/sops/v3/aes", "github.com/getsops/sops/v3/age",
		"github.com/getsops/sops/v3/keyservice", "github.com/getsops/sops/v3/stores", "github.com/getsops/sops/v3/version", "google.golang.org/grpc", "go.yaml.in/yaml/v3", "threescale.dev/backup/fn/recipients",
		"bytes", "context", "errors", "fmt", "io", "io/fs", "path", "reflect", "regexp", "slices", "strings", "time",
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, word := range []string{"LocalClient", "LoadCreationRule", "LookupConfigFile"} {
			assert.NotContains(t, string(source), word, name)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range parsed.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			assert.Contains(t, allowed, path, name)
		}
	}
}
