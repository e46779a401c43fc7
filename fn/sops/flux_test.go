package sops_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	sopsapi "github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keyservice"
	jsonstore "github.com/getsops/sops/v3/stores/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/test/decrypt"
)

// fluxService decrypts as kustomize-controller's key service does: with the identities of the decryption Secret.
type fluxService struct {
	keyservice.KeyServiceClient
	identities age.ParsedIdentities
}

func (s fluxService) Decrypt(_ context.Context, request *keyservice.DecryptRequest, _ ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	key := &age.MasterKey{Recipient: request.GetKey().GetAgeKey().GetRecipient(), EncryptedKey: string(request.GetCiphertext())}
	s.identities.ApplyToMasterKey(key)
	plaintext, err := key.Decrypt()
	return &keyservice.DecryptResponse{Plaintext: plaintext}, err
}

// fluxDecrypt decrypts a built object as kustomize-controller does, from JSON and whatever the MAC says. It also tells whether the MAC fits.
func fluxDecrypt(t *testing.T, object, identity []byte) (plain map[string]any, macFits bool) {
	t.Helper()
	store := jsonstore.NewStore(&config.JSONStoreConfig{Indent: -1})
	tree, err := store.LoadEncryptedFile(object)
	require.NoError(t, err)
	service := fluxService{}
	require.NoError(t, service.identities.Import(string(identity)))
	key, err := tree.Metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{service}, sopsapi.DefaultDecryptionOrder)
	require.NoError(t, err)
	cipher := aes.NewCipher()
	computed, err := tree.Decrypt(key, cipher)
	require.NoError(t, err)
	stored, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
	require.NoError(t, err)
	out, err := store.EmitPlainFile(tree.Branches)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &plain))
	return plain, stored == computed
}

// TestFluxDecryptsConfigMap: kustomize-controller decrypts an object of any kind that has sops.mac, and then reads it as JSON.
func TestFluxDecryptsConfigMap(t *testing.T) {
	alice := newParty(t)
	const config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: system}\ndata:\n  zync.yml: |\n    production:\n      token: \"" + canary + "\" # 'quoted'\n"
	encrypted, err := forRecipients(t, alice).Encrypt("base/configmap-system.yaml", []byte(config))
	require.NoError(t, err)
	tree := filesys.MakeFsInMemory()
	require.NoError(t, tree.WriteFile("base/configmap-system.yaml", encrypted))
	require.NoError(t, tree.WriteFile("base/kustomization.yaml", []byte("resources: [configmap-system.yaml]\n")))
	require.NoError(t, tree.WriteFile("overlay/kustomization.yaml", []byte("resources: [../base]\nnamespace: restored\n")))
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(tree, "overlay")
	require.NoError(t, err)
	require.Equal(t, 1, built.Size())
	mac, err := built.Resources()[0].GetString("sops.mac")
	require.NoError(t, err)
	require.NotEmpty(t, mac, "by which Flux knows that there is something to decrypt")
	object, err := built.Resources()[0].MarshalJSON()
	require.NoError(t, err)
	require.NotContains(t, string(object), canary)

	plain, macFits := fluxDecrypt(t, object, alice.identity)
	assert.True(t, macFits)
	assert.Equal(t, map[string]any{"zync.yml": "production:\n  token: \"" + canary + "\" # 'quoted'\n"}, plain["data"])
	assert.Equal(t, map[string]any{"name": "system", "namespace": "restored"}, plain["metadata"])
}

func TestFluxDecryptsTheBuiltOverlay(t *testing.T) {
	alice := newParty(t)
	cases := map[string]struct {
		reason    string
		encrypter *sops.Encrypter
		macFits   bool
	}{
		"recipients":         {"our own rule keeps the MAC to what is encrypted", forRecipients(t, alice), true},
		"mac_only_encrypted": {"as the repository may ask for", sops.ForRepository(repository(map[string]string{".sops.yaml": "creation_rules: [{age: " + alice.recipient + ", " + scopeLine + ", mac_only_encrypted: true}]"})), true},
		"usual rule":         {"SOPS' default is over metadata too; Flux does not look", sops.ForRepository(repository(map[string]string{".sops.yaml": rulesFor(alice)})), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			encrypted, err := c.encrypter.Encrypt(secretPath, []byte(secret))
			require.NoError(t, err, c.reason)
			tree := filesys.MakeFsInMemory()
			require.NoError(t, tree.WriteFile("base/secret.yaml", encrypted))
			require.NoError(t, tree.WriteFile("base/kustomization.yaml", []byte("resources: [secret.yaml]\n")))
			require.NoError(t, tree.WriteFile("overlay/kustomization.yaml", []byte("resources: [../base]\nnamespace: restored\nlabels: [{pairs: {app.kubernetes.io/part-of: 3scale}}]\n")))
			built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(tree, "overlay")
			require.NoError(t, err)
			require.Equal(t, 1, built.Size())
			object, err := built.Resources()[0].MarshalJSON()
			require.NoError(t, err)

			plain, macFits := fluxDecrypt(t, object, alice.identity)
			assert.Equal(t, map[string]any{"ADMIN_PASSWORD": canary, "DATABASE_URL": canary}, plain["data"])
			assert.Equal(t, map[string]any{"name": "system-seed", "namespace": "restored", "labels": map[string]any{"app": "3scale", "app.kubernetes.io/part-of": "3scale"}}, plain["metadata"])
			assert.Equal(t, "Opaque", plain["type"])
			assert.Equal(t, c.macFits, macFits)

			inYAML, err := built.AsYaml()
			require.NoError(t, err)
			_, err = decrypt.Document(inYAML, alice.identity)
			assert.Equal(t, c.macFits, err == nil, "the sops command on what was built")
		})
	}
}
