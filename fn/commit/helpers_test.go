package commit_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// party is someone for whom can be encrypted.
type party struct {
	recipient string
	identity  []byte
}

func newParty(t *testing.T) party {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return party{key.Recipient().String(), []byte(key.String())}
}

// rules are a .sops.yaml for a party.
func (p party) rules() string {
	return "creation_rules:\n- encrypted_regex: ^(data|stringData)$\n  age: " + p.recipient + "\n"
}

// newTree makes the tree of a restore called dr of a whole installation, changed by options.
func newTree(t *testing.T, options ...func(*overlay.Input)) *overlay.Tree {
	t.Helper()
	tree, err := overlay.Build(newInput(options...))
	require.NoError(t, err)
	return tree
}

// newInput is what such a tree is made of.
func newInput(options ...func(*overlay.Input)) overlay.Input {
	in := overlay.Input{
		Name: "dr", Namespace: "3scale-dr", WildcardDomain: "apps.other.example",
		FileStorage: &overlay.FileStorage{Size: resource.MustParse("100Mi"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}},
	}
	for _, object := range dataset.Installation(dataset.Options{Seed: 1}) {
		kind, name := object.GetKind(), object.GetName()
		admitted := kind == threescale.KindSecret || kind == threescale.APIManagerKind || kind == "ConfigMap"
		if !admitted || name == "somebody-elses" {
			continue
		}
		in.Objects = append(in.Objects, threescale.CleanForBackup(object))
		in.Admitted = append(in.Admitted, overlay.Key{Kind: kind, Name: name})
	}
	for _, option := range options {
		option(&in)
	}
	return in
}

// newSource is what a child is told to make a tree of.
func newTreeInput(t *testing.T, options ...func(*overlay.Input)) commit.TreeInput {
	t.Helper()
	source := commit.TreeInput{Input: newInput(options...)}
	for _, object := range source.Input.Objects {
		raw, err := json.Marshal(object.Object)
		require.NoError(t, err)
		source.Objects = append(source.Objects, raw)
	}
	source.Input.Objects = nil
	return source
}

// repository is a work tree with the branch main.
type repository struct{ directory string }

// newRepository makes a repository whose only commit holds the files.
func newRepository(t *testing.T, files map[string]string) repository {
	t.Helper()
	r := repository{t.TempDir()}
	made, err := git.PlainInitWithOptions(r.directory, &git.PlainInitOptions{InitOptions: git.InitOptions{DefaultBranch: "refs/heads/main"}})
	require.NoError(t, err)
	work, err := made.Worktree()
	require.NoError(t, err)
	for name, content := range files {
		full := filepath.Join(r.directory, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(content), 0o644))
		_, err := work.Add(name)
		require.NoError(t, err)
	}
	_, err = work.Commit("seed", &git.CommitOptions{AllowEmptyCommits: true, Author: &object.Signature{Name: "Seed", Email: "seed@example.org"}})
	require.NoError(t, err)
	return r
}

// commit commits a tree below root, and returns the edit that it was made of.
func (r repository) commit(t *testing.T, root string, tree *overlay.Tree, recipients ...string) (publish.Edit, error) {
	t.Helper()
	var edit publish.Edit
	folders := []string{path.Join(root, overlay.BaseDir(tree.Name)), path.Join(root, overlay.Dir(tree.Name))}
	about := publish.Commit{AuthorName: "A", AuthorEmail: "a@example.org", Message: "Restore"}
	_, err := publish.Local(t.Context(), publish.Repository{Directory: r.directory}, folders, about, func(_ context.Context, files fs.FS) (publish.Edit, error) {
		encrypter, err := commit.Encrypter(files, recipients)
		if err != nil {
			return publish.Edit{}, err
		}
		edit, err = commit.Edit(files, root, tree, encrypter)
		return edit, err
	}, nil)
	return edit, err
}

// files are those of the work tree, which shows the newest commit.
func (r repository) files(t *testing.T) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	require.NoError(t, fs.WalkDir(os.DirFS(r.directory), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".git":
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		found[name], err = os.ReadFile(filepath.Join(r.directory, name))
		return err
	}))
	return found
}

// decode reads a manifest.
func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var object map[string]any
	require.NoError(t, yaml.UnmarshalStrict(data, &object))
	return object
}

// plaintexts are the texts that nobody may read: what confidential values begin with, and each value of a Secret of the
// tree as it stands in the manifest, unless it is so short that it may stand anywhere.
func plaintexts(t *testing.T, tree *overlay.Tree) []string {
	t.Helper()
	const least = 8
	forms := dataset.MarkerForms()
	for _, file := range tree.Files {
		if !file.Secret {
			continue
		}
		data, _ := decode(t, file.Data)["data"].(map[string]any)
		for _, value := range data {
			encoded, _ := value.(string)
			if len(encoded) >= least {
				forms = append(forms, encoded)
			}
			// A ConfigMap's text stands in its manifest line by line.
			for line := range strings.Lines(encoded) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "client_secret") {
					forms = append(forms, line)
				}
			}
		}
	}
	require.Greater(t, len(forms), 40, "an installation has many")
	return forms
}
