package commit_test

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/decrypt"
)

// TestEditEncryptsSecretsOnly: who can decrypt is said by the recipients, else by the repository's rules.
func TestEditEncryptsSecretsOnly(t *testing.T) {
	alice, bob, tree := newParty(t), newParty(t), newTree(t)
	cases := map[string]struct {
		reason     string
		root       string
		rules      map[string]string
		recipients []string
		reads      []party
		cannot     []party
	}{
		"Recipients":          {"no rules are needed", "apps/3scale", nil, []string{alice.recipient, bob.recipient}, []party{alice, bob}, nil},
		"Rules":               {"the repository says for whom", "apps/3scale", map[string]string{".sops.yaml": alice.rules()}, nil, []party{alice}, []party{bob}},
		"RulesOfAFolder":      {"the nearest rules count", "apps/3scale", map[string]string{".sops.yaml": alice.rules(), "apps/.sops.yaml": bob.rules()}, nil, []party{bob}, []party{alice}},
		"RulesOfAnother":      {"rules beside the path are somebody else's", "apps/3scale", map[string]string{".sops.yaml": alice.rules(), "apps/other/.sops.yaml": bob.rules()}, nil, []party{alice}, []party{bob}},
		"RecipientsOverRules": {"the restore says otherwise than the repository", "apps/3scale", map[string]string{".sops.yaml": alice.rules()}, []string{bob.recipient}, []party{bob}, []party{alice}},
		"RootOfRepository":    {"the tree lies at the top", ".", map[string]string{".sops.yaml": alice.rules()}, nil, []party{alice}, []party{bob}},
		"DeepRoot":            {"folders are made", "a/b/c/d", nil, []string{alice.recipient}, []party{alice}, []party{bob}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			repository := newRepository(t, tc.rules)
			edit, err := repository.commit(t, tc.root, tree, tc.recipients...)
			require.NoError(t, err, tc.reason)
			require.Empty(t, edit.Remove)
			require.Len(t, edit.Write, len(tree.Files))
			committed := repository.files(t)
			assert.Len(t, committed, len(tree.Files)+len(tc.rules))
			secrets := 0
			for _, file := range tree.Files {
				full := path.Join(tc.root, file.Path)
				require.Equal(t, edit.Write[full], committed[full], full)
				if !file.Secret {
					assert.Equal(t, string(file.Data), string(committed[full]), "%s is not confidential", full)
					assert.False(t, sops.Encrypted(committed[full]), full)
					continue
				}
				secrets++
				assert.True(t, sops.Encrypted(committed[full]), full)
				for _, reader := range tc.reads {
					plain, err := decrypt.Document(committed[full], reader.identity)
					require.NoError(t, err, "%s: %s", full, tc.reason)
					assert.Equal(t, decode(t, file.Data), decode(t, plain), full)
				}
				for _, other := range tc.cannot {
					_, err := decrypt.Document(committed[full], other.identity)
					require.ErrorIs(t, err, decrypt.ErrUnreadable, tc.reason)
				}
			}
			assert.Greater(t, secrets, 10)
			texts := plaintexts(t, tree)
			for name, data := range committed {
				for _, text := range texts {
					if strings.Contains(string(data), text) {
						require.Fail(t, "a value of a Secret is committed in plain text", name) // the value is not shown
					}
				}
			}
		})
	}
}

// TestEditRefuses: nothing is committed that cannot be encrypted.
func TestEditRefuses(t *testing.T) {
	alice, tree := newParty(t), newTree(t)
	cases := map[string]struct {
		reason     string
		rules      map[string]string
		recipients []string
		want       error
		says       string
	}{
		"NoRules":        {"nobody could decrypt, and plain text is never committed", nil, nil, sops.ErrNoRules, ".sops.yaml"},
		"RulesElsewhere": {"rules beside the path do not count", map[string]string{"other/.sops.yaml": alice.rules()}, nil, sops.ErrNoRules, "apps/3scale/base/dr/"},
		"NoMatch":        {"the rules are for other files", map[string]string{".sops.yaml": "creation_rules:\n- path_regex: ^clusters/\n  age: " + alice.recipient + "\n"}, nil, sops.ErrNoMatch, ".sops.yaml"},
		"OneDoesNot": {"the rules are for all but one of the Secrets", map[string]string{
			".sops.yaml": "creation_rules:\n- path_regex: (configmap|secret)-[a-y]\n  encrypted_regex: ^(data|stringData)$\n  age: " + alice.recipient + "\n",
		}, nil, sops.ErrNoMatch, "secret-zync"},
		"SecretsOnly": {"the rules are for files called after Secrets, and a ConfigMap holds one too", map[string]string{
			".sops.yaml": "creation_rules:\n- path_regex: secret-[^/]*[.]yaml$\n  encrypted_regex: ^(data|stringData)$\n  age: " + alice.recipient + "\n",
		}, nil, sops.ErrNoMatch, "base/dr/configmap-system.yaml"},
		"KeyService":   {"it could not be tested", map[string]string{".sops.yaml": "creation_rules:\n- kms: arn:aws:kms:eu-west-1:1:key/x\n"}, nil, sops.ErrKeyService, "kms"},
		"WholeFile":    {"kustomize could not build it", map[string]string{".sops.yaml": "creation_rules:\n- age: " + alice.recipient + "\n"}, nil, sops.ErrScope, "encrypted_regex"},
		"Malformed":    {"a typing mistake must not be passed over", map[string]string{".sops.yaml": "creation_rules: ["}, nil, nil, "malformed YAML"},
		"BadRecipient": {"a typing mistake must not lock everybody out", nil, []string{alice.recipient, "age1mistyped"}, nil, "age recipient 2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			repository := newRepository(t, tc.rules)
			before := repository.files(t)
			edit, err := repository.commit(t, "apps/3scale", tree, tc.recipients...)
			require.ErrorContains(t, err, tc.says, tc.reason)
			if tc.want != nil {
				require.ErrorIs(t, err, tc.want, tc.reason)
			}
			assert.Empty(t, edit, "there is no half of an edit")
			assert.Equal(t, before, repository.files(t))
		})
	}
}

// TestEditRemoves: of an earlier tree go the files that are gone, and nothing else.
func TestEditRemoves(t *testing.T) {
	alice, whole := newParty(t), newTree(t)
	withoutDatabases := func(in *overlay.Input) { in.OmitDatabaseSecrets = true }
	withoutPVC := func(in *overlay.Input) { in.FileStorage = nil }
	const base, kustomized = "base/dr/", "overlays/dr/"
	databases := []string{base + "secret-backend-redis.yaml", base + "secret-system-database.yaml", base + "secret-system-redis.yaml", base + "secret-zync.yaml"}
	pvc := kustomized + "persistentvolumeclaim.yaml"
	cases := map[string]struct {
		reason string
		root   string
		later  []func(*overlay.Input)
		edit   func(files map[string]string)
		gone   []string
	}{
		"Nothing":   {"the same objects again", "apps", nil, nil, nil},
		"Databases": {"they are left out now", "apps", []func(*overlay.Input){withoutDatabases}, nil, databases},
		"Both":      {"a file of each folder", "apps", []func(*overlay.Input){withoutDatabases, withoutPVC}, nil, append(slices.Clone(databases), pvc)},
		"Top":       {"the tree lies at the top", ".", []func(*overlay.Input){withoutDatabases}, nil, databases},
		"NotListed": {"a file that our kustomization.yaml does not list is somebody else's", "apps", []func(*overlay.Input){withoutDatabases}, func(files map[string]string) {
			unlist(files, base+"kustomization.yaml", "secret-system-redis.yaml")
		}, slices.DeleteFunc(slices.Clone(databases), func(name string) bool {
			return strings.HasSuffix(name, "-redis.yaml") && strings.Contains(name, "system")
		})},
		"ListedFromElsewhere": {"somebody added theirs to our kustomization.yaml", "apps", []func(*overlay.Input){withoutDatabases}, func(files map[string]string) {
			files[base+"kustomization.yaml"] += "- ../../theirs.yaml\n- theirs.yaml\n- ../other/secret-theirs.yaml\n"
		}, databases},
		"NoList": {"our kustomization.yaml was removed", "apps", []func(*overlay.Input){withoutDatabases}, func(files map[string]string) { delete(files, base+"kustomization.yaml") }, nil},
		"MalformedList": {"our kustomization.yaml was spoilt", "apps", []func(*overlay.Input){withoutDatabases}, func(files map[string]string) {
			header, _, _ := strings.Cut(files[base+"kustomization.yaml"], "\n")
			files[base+"kustomization.yaml"] = header + "\n{"
		}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			first := newRepository(t, nil)
			_, err := first.commit(t, tc.root, whole, alice.recipient)
			require.NoError(t, err)
			files := map[string]string{}
			for name, data := range first.files(t) {
				files[strings.TrimPrefix(name, tc.root+"/")] = string(data)
			}
			theirs := []string{
				"theirs.yaml", base + "theirs.yaml", base + "secret-theirs.yaml", base + "README.md", kustomized + "patch.yaml",
				"base/other/kustomization.yaml", "base/other/secret-theirs.yaml", "overlays/other/kustomization.yaml",
			}
			for _, name := range theirs {
				files[name] = "theirs: true\n"
			}
			if tc.edit != nil {
				tc.edit(files)
			}
			repository := newRepository(t, below(tc.root, files))
			edit, err := repository.commit(t, tc.root, newTree(t, tc.later...), alice.recipient)
			require.NoError(t, err)
			var want []string
			for _, name := range tc.gone {
				want = append(want, path.Join(tc.root, name))
			}
			slices.Sort(want)
			assert.Equal(t, want, edit.Remove, tc.reason)
			after := repository.files(t)
			for _, name := range edit.Remove {
				assert.NotContains(t, after, name)
			}
			for _, name := range theirs {
				assert.Equal(t, "theirs: true\n", string(after[path.Join(tc.root, name)]), name)
			}
		})
	}
}

// TestEditLeavesFoldersOfOthers: a folder that a restore into that namespace did not write is not written anew.
func TestEditLeavesFoldersOfOthers(t *testing.T) {
	alice, tree := newParty(t), newTree(t)
	elsewhere := newTree(t, func(in *overlay.Input) { in.Namespace = "elsewhere" })
	cases := map[string]struct {
		reason string
		root   string
		spoil  func(t *testing.T, r repository)
		want   overlay.TakenError
	}{
		"OtherNamespace": {"two restores would take turns in overwriting each other", "apps", func(t *testing.T, r repository) {
			t.Helper()
			_, err := r.commit(t, "apps", elsewhere, alice.recipient)
			require.NoError(t, err)
		}, overlay.TakenError{Path: "apps/overlays/dr/kustomization.yaml", Namespace: "elsewhere"}},
		"Theirs":    {"a user keeps it", "apps", nil, overlay.TakenError{Path: "apps/base/dr/kustomization.yaml"}},
		"TheirsTop": {"likewise at the top", ".", nil, overlay.TakenError{Path: "base/dr/kustomization.yaml"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var files map[string]string
			if tc.spoil == nil {
				files = map[string]string{tc.want.Path: "resources: []\n"}
			}
			r := newRepository(t, files)
			if tc.spoil != nil {
				tc.spoil(t, r)
			}
			before := r.files(t)
			_, err := r.commit(t, tc.root, tree, alice.recipient)
			var taken *overlay.TakenError
			require.ErrorAs(t, err, &taken, tc.reason)
			assert.Equal(t, tc.want, *taken)
			assert.Equal(t, before, r.files(t))
		})
	}
}

// unlist takes a resource out of a kustomization.yaml.
func unlist(files map[string]string, kustomization, resource string) {
	files[kustomization] = strings.Replace(files[kustomization], "- "+resource+"\n", "", 1)
}

// below moves files into a folder.
func below(root string, files map[string]string) map[string]string {
	moved := map[string]string{}
	for name := range maps.Keys(files) {
		moved[path.Join(root, name)] = files[name]
	}
	return moved
}

// TestEditIsBuiltFromWhatIsCommitted: kustomize makes the same objects of the commit as of the tree.
func TestEditIsBuiltFromWhatIsCommitted(t *testing.T) {
	alice := newParty(t)
	repository, tree := newRepository(t, nil), newTree(t)
	_, err := repository.commit(t, "apps", tree, alice.recipient)
	require.NoError(t, err)
	var files []overlay.File
	for name, data := range repository.files(t) {
		files = append(files, overlay.File{Path: name, Data: data})
	}
	built, err := overlay.BuildFiles(files, path.Join("apps", overlay.Dir("dr")))
	require.NoError(t, err)
	assert.ElementsMatch(t, slices.Collect(maps.Keys(tree.Objects)), slices.Collect(maps.Keys(built)))
	for key, object := range built {
		if threescale.IsSensitive(key.Kind, key.Name) {
			assert.Contains(t, object.Object, "sops", "%s is as SOPS made it", key)
			continue
		}
		assert.Equal(t, tree.Objects[key], object, key)
	}
}
