//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/cluster"
)

// gitRepository makes a GitRepository of the tenant's repository, with more of a spec.
func (d *delivery) gitRepository(name, spec string) {
	d.t.Helper()
	d.create(fmt.Sprintf(`{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: %s}, spec: %s}`, name,
		merge(fmt.Sprintf(`{interval: 1h, url: %q, ref: {branch: main}, secretRef: {name: git}}`, d.repository.HTTP()), spec)))
}

// ruled makes a repository, and a GitRepository of it, with other rules for SOPS;
// none if they are nil.
func (d *delivery) ruled(name string, rules []byte) {
	d.t.Helper()
	repository, err := flux.git.CreateRepository(d.t.Context(), d.namespace+"-"+name, branch, "")
	require.NoError(d.t, err)
	other := *d
	other.repository = repository
	d.t.Cleanup(other.checkRepository)
	files := map[string][]byte{"README.md": []byte("Somebody else's.\n")}
	if rules != nil {
		files[".sops.yaml"] = rules
	}
	other.push(files)
	other.gitRepository(name, `{}`)
}

// damaged makes a PVC of a copy of the backup volume, with a change to it.
func (w *tenant) damaged(name string, change func(dir string)) {
	w.t.Helper()
	w.volumeFrom(name, w.volumeDir(nightlyVolume), change)
}

// volumeFrom makes a PVC of a volume with a copy of a folder, changed.
func (w *tenant) volumeFrom(name, folder string, change func(dir string)) {
	w.t.Helper()
	o := cluster.VolumeOptions{Name: w.namespace + "-" + name, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}}
	volume, err := shared.Volume(w.t.Context(), o)
	require.NoError(w.t, err)
	out, err := exec.CommandContext(w.t.Context(), "cp", "-a", folder+"/.", volume.Path).CombinedOutput()
	require.NoError(w.t, err, string(out))
	change(volume.Path)
	w.bind(name, o)
}

// edit replaces a file's content.
func (w *tenant) edit(path string, change func([]byte) []byte) {
	w.t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(w.t, err)
	require.NoError(w.t, os.Chmod(path, 0o644))
	require.NoError(w.t, os.WriteFile(path, change(data), 0o600))
	require.NoError(w.t, os.Chmod(path, 0o444))
}

// refusal is a restore that must not be, and what its user reads.
type refusal struct {
	why string
	// spec over that of dr.
	spec   string
	reason string
	// stalled tells that it does not try again by itself.
	stalled bool
	// says is in the message.
	says string
}

// assertRefused applies restores side by side and waits for each to be refused.
func (d *delivery) assertRefused(cases map[string]refusal) {
	d.t.Helper()
	for name, c := range cases {
		d.ask(dr(name, c.spec))
	}
	for name, c := range cases {
		got := d.untilRestore(name, "Ready", "False", c.reason)
		text := message(got, "Ready")
		d.t.Logf("%s: %s: %s", name, c.reason, text)
		assert.Contains(d.t, text, c.says, "%s: %s", name, c.why)
		stalled := condition(got, "Stalled")["status"] == "True"
		assert.Equal(d.t, c.stalled, stalled, "%s: %s", name, c.why)
		assert.Equal(d.t, !c.stalled, condition(got, "Reconciling")["status"] == "True", "%s: %s", name, c.why)
		_, err := d.kubectl("delete", "threescalerestore", name)
		require.NoError(d.t, err)
	}
}

// TestRefusedRestores: whatever is wrong is told before anything is written.
// The installation lives and has changed since, so that even the sound restore
// is refused.
func TestRefusedRestores(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	run := lastRun(w.untilCompleted(nightly))
	kept := w.remember()
	w.admin("patch", "apimanager", "example", "--type=merge", "-p", `{"spec":{"wildcardDomain":"changed.example.com"}}`)
	d := w.deliver()
	head, err := d.repository.Head(t.Context(), branch)
	require.NoError(t, err)

	d.gitRepository("suspended", `{suspend: true}`)
	d.gitRepository("tag", `{ref: {tag: v1}}`)
	d.gitRepository("ignoring", `{ignore: "/apps/overlays"}`)
	d.gitRepository("wrong-login", `{secretRef: {name: wrong-login}}`)
	d.makeSecret("wrong-login", map[string][]byte{"username": []byte("git"), "password": []byte("not-this-one")})
	stranger := flux.git.SSHAuth()
	stranger["known_hosts"] = []byte("[127.0.0.1]:1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n")
	d.makeSecret("unknown-host", stranger)
	d.gitRepository("unknown-host", fmt.Sprintf(`{url: %q, secretRef: {name: unknown-host}}`, d.repository.SSH()))
	d.ruled("no-rules", nil)
	d.ruled("no-match", []byte("creation_rules:\n- path_regex: ^clusters/\n  encrypted_regex: ^(data|stringData)$\n  age: "+d.identity.Recipient().String()+"\n"))
	d.ruled("needs-kms", []byte("creation_rules:\n- encrypted_regex: ^(data|stringData)$\n  kms: arn:aws:kms:us-east-1:111122223333:key/0000\n"))
	d.ruled("all-fields", []byte("creation_rules:\n- age: "+d.identity.Recipient().String()+"\n"))
	d.create(`{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: elsewhere}, spec: {interval: 1h, prune: true, path: ./clusters, sourceRef: {kind: GitRepository, name: apps}}}`)
	d.create(`{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: keyless}, spec: {interval: 1h, prune: true, path: ./apps/overlays/keyless, sourceRef: {kind: GitRepository, name: apps}}}`)
	d.makeSecret("wrong-identity", map[string][]byte{"it.agekey": []byte(mustIdentity(t).String() + "\n")})

	tree := func(dir string) string { return filepath.Join(dir, "runs", run, "system-filestorage-pvc") }
	w.damaged("flipped", func(dir string) {
		w.edit(anyFile(t, tree(dir)), func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
	})
	w.damaged("missing", func(dir string) { require.NoError(t, os.Remove(anyFile(t, tree(dir)))) })
	w.damaged("additional", func(dir string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "runs", run, "secrets", "extra.json"), []byte("{}"), 0o600))
		require.NoError(t, os.Chmod(filepath.Join(dir, "runs", run, "secrets", "extra.json"), 0o644))
	})
	w.damaged("newer", func(dir string) {
		w.edit(filepath.Join(dir, "runs", run, "manifest.json"), func(data []byte) []byte {
			return replaceOnce(t, data, `"formatVersion": 2`, `"formatVersion": 9`)
		})
	})
	w.damaged("empty", func(dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "runs", run))) })
	from := func(pvc string) string {
		return fmt.Sprintf(`{restoreSource: {persistentVolumeClaim: {claimSource: {claimName: %s}}}}`, pvc)
	}
	in := func(repository string) string { return fmt.Sprintf(`{sourceRef: {name: %s}}`, repository) }

	d.assertRefused(map[string]refusal{
		"no-backup":     {"a name that nobody has", `{restoreSource: {backupRef: {name: weekly}}}`, "SourceNotFound", false, `"weekly"`},
		"no-claim":      {"a name that nobody has", from("weekly"), "SourceNotFound", false, `"weekly"`},
		"no-volume":     {"a name that nobody has", `{restoreSource: {persistentVolume: {volumeName: weekly}}}`, "SourceNotFound", false, `"weekly"`},
		"bound":         {"a volume of somebody else's", fmt.Sprintf(`{restoreSource: {persistentVolume: {volumeName: %s}}}`, w.persistentVolume(nightlyVolume)), "SourceUnusable", true, nightlyVolume},
		"no-run":        {"a run that is not on the volume", `{restoreSource: {backupRef: {name: nightly}, run: never}}`, "RunNotFound", true, run},
		"flipped":       {"one bit of a file", from("flipped"), "Integrity", true, "is changed"},
		"missing":       {"a file that is listed", from("missing"), "Integrity", true, "missing"},
		"additional":    {"a file that is not listed", from("additional"), "Integrity", true, "extra.json"},
		"newer":         {"what a newer version wrote", from("newer"), "UnsupportedFormat", true, "newer"},
		"empty":         {"the pointer leads nowhere", from("empty"), "RunNotFound", true, "none"},
		"no-repository": {"a name that nobody has", in("nobodys"), "RepositoryNotFound", false, "spec.sourceRef"},
		"suspended":     {"nobody would apply it", in("suspended"), "RepositorySuspended", false, "flux resume"},
		"tag":           {"a push does not move it", in("tag"), "RepositoryUnusable", true, "branch"},
		"ignoring":      {"Flux would not see it", in("ignoring"), "RepositoryUnusable", true, "ignores"},
		"wrong-login":   {"the server says no", in("wrong-login"), "GitFailed", false, "wrong-login"},
		"unknown-host":  {"somebody in the middle, perhaps", in("unknown-host"), "GitFailed", false, "known_hosts"},
		"no-rules":      {"nobody to encrypt for", in("no-rules"), "NoRecipients", true, ".sops.yaml"},
		"no-match":      {"nobody to encrypt for", in("no-match"), "NoRecipients", true, ".sops.yaml"},
		"needs-kms":     {"a key service that is not tested", in("needs-kms"), "EncryptionRefused", true, "age"},
		"all-fields":    {"Flux could not read the name of an object", in("all-fields"), "EncryptionRefused", true, "encrypted_regex"},
		"no-signer":     {"a Secret that is not there", `{git: {commit: {signingKey: {secretRef: {name: signer}}}}}`, "GitFailed", false, `"signer"`},
		"no-identity":   {"a Secret that is not there", `{decryption: {secretRef: {name: identity}}}`, "DecryptionFailed", false, `"identity"`},
		"elsewhere":     {"Flux would never look at it", `{kustomizationRef: {name: elsewhere}}`, "KustomizationUnusable", true, "path"},
		"keyless":       {"Flux would apply what is encrypted as it is", `{kustomizationRef: {name: keyless}}`, "KustomizationUnusable", true, "decryption"},
		"dr":            {"it would fight with who keeps the installation", withKustomization, "APIManagerExists", true, "example"},
	})
	w.writeFile("later.txt", []byte("written since\n"))
	d.assertRefused(map[string]refusal{"not-empty": {"files that the run does not have", `{}`, "NotEmpty", true, "spec.fileStorage.existing"}})
	require.NoError(t, os.Remove(filepath.Join(w.files, "later.txt")))

	after, err := d.repository.Head(t.Context(), branch)
	require.NoError(t, err)
	assert.Equal(t, head, after, "nothing is committed")
	w.assertFiles(kept)
	w.assertSecrets(kept)
	w.untilNothingStays()
}

func mustIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return identity
}

// anyFile is some regular file below a folder that has content.
func anyFile(t *testing.T, folder string) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(folder)
	require.NoError(t, err)
	var found string
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() > 0 {
			found = path
			return filepath.SkipAll
		}
		return err
	}))
	require.NotEmpty(t, found)
	return found
}

func replaceOnce(t *testing.T, data []byte, old, with string) []byte {
	t.Helper()
	require.Equal(t, 1, bytes.Count(data, []byte(old)))
	return bytes.Replace(data, []byte(old), []byte(with), 1)
}

// TestRestoreWithoutRoom: the file system of the file storage is full. The
// restore says how much is needed, commits nothing, and goes on when asked to
// once there is room.
func TestRestoreWithoutRoom(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t, func(o *options) { o.files = cluster.VolumeOptions{Filesystem: cluster.Ext4, SizeMiB: 32} })
	w.writeFile("large.bin", bytes.Repeat([]byte("large "), 1<<20))
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.untilCompleted(nightly)
	kept := w.remember()
	w.lose()
	foreign := w.writeFile("foreign.bin", bytes.Repeat([]byte("x"), 22<<20))
	d := w.deliver()
	d.ask(dr("dr", `{fileStorage: {existing: Overwrite}}`))
	full := w.untilRestore("dr", "Ready", "False", "NoSpace")
	t.Log(message(full, "Ready"))
	assert.Contains(t, message(full, "Ready"), "bytes needed")
	assert.Equal(t, "True", condition(full, "Stalled")["status"])
	commits, err := d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	assert.Len(t, commits, 1)

	require.NoError(t, os.Remove(foreign))
	_, command, _ := strings.Cut(message(full, "Ready"), "ask again: ")
	w.shell(command)
	w.untilRestore("dr", "Ready", "True", "Restored")
	w.assertFiles(kept)
}

// TestHandoverIsProven: what was handed over is what is committed. Somebody
// changes it while the restore is stalled: it is read again.
func TestHandoverIsProven(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	kept := w.remember()
	w.admin("patch", "apimanager", "example", "--type=merge", "-p", `{"spec":{"wildcardDomain":"changed.example.com"}}`)
	d := w.deliver()
	d.ask(dr("dr", `{}`))
	w.untilRestore("dr", "Ready", "False", "APIManagerExists")
	handed := strings.Fields(w.admin("get", "secrets", "-l", "backup.threescale.dev/restore=dr", "-o", "jsonpath={.items[*].metadata.name}"))
	require.NotEmpty(t, handed)
	w.admin("patch", "secret", handed[0], "--type=merge", "-p", `{"data":{"secrets.system-seed.json":"e30="}}`)
	w.admin("delete", "apimanager", "example")
	w.untilRestore("dr", "Ready", "True", "Restored")
	assert.Contains(t, w.admin("get", "events", "--field-selector=involvedObject.kind=ThreeScaleRestore", "-o", "jsonpath={.items[*].message}"), "were changed since the backup was read")
	data, err := d.repository.ReadFile(t.Context(), branch, "apps/base/dr/secret-system-seed.yaml")
	require.NoError(t, err)
	for key := range kept.secrets["system-seed"].Data {
		assert.Contains(t, string(data), key+": ENC[")
	}
}

// restrictedPod is a pod that a tenant's namespace lets in; what it does is of no matter.
func restrictedPod(name string) corev1.PodSpec {
	yes, no := true, false
	return corev1.PodSpec{Containers: []corev1.Container{{
		Name: name, Image: image, ImagePullPolicy: corev1.PullNever,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: &no, RunAsNonRoot: &yes,
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}}}
}

// TestRestoreOfAnotherVersion: the operator of the namespace would refuse what
// was backed up.
func TestRestoreOfAnotherVersion(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t)
	w.admin("annotate", "apimanager", "example", threescale.AnnotationVersion+"=2.13.1")
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.untilCompleted(nightly)
	w.lose()
	require.NoError(t, w.c.Client().Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "operator", Namespace: w.namespace, Labels: map[string]string{"rht.subcomp": "3scale_operator", "rht.comp_ver": "2.16"}},
		Spec:       restrictedPod("manager"),
	}))
	d := w.deliver()
	d.assertRefused(map[string]refusal{"dr": {"three minor versions", `{}`, "VersionRefused", true, "install the operator for 2.13"}})
	d.ask(dr("dr", `{dryRun: true}`))
	planned := w.untilRestore("dr", "Ready", "True", "Planned")
	assert.Contains(t, message(planned, "Ready"), "VersionRefused", "a plan tells it too")
	commits, err := d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	assert.Len(t, commits, 1)
}
