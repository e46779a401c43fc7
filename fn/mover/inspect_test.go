package mover_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
)

func TestInspectTellsAndHandsOver(t *testing.T) {
	for name, encrypted := range map[string]bool{"Plaintext": false, "Encrypted": true} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, encrypted, nil)
			got, err := s.runInspect()
			require.NoError(t, err)
			digest := got.ManifestSHA256
			assert.Len(t, digest, 64)
			assert.Equal(t, job.Inspection{
				Run: runID, Completed: true, ManifestSHA256: digest, Verified: true, Encrypted: encrypted, StartTime: noon,
				Source:      job.Source{Namespace: "3scale", APIManager: apiName, UID: "u", ThreeScale: "2.16.0", WildcardDomain: domain},
				FileStorage: job.InspectedStorage{Stored: true, Files: 2, Bytes: 7, Entries: 4},
				Objects: []job.HandoverEntry{
					{Kind: "APIManager", Name: apiName, Pieces: 1}, {Kind: "ConfigMap", Name: "system-environment", Pieces: 1},
					{Kind: "Secret", Name: "my.policy", Pieces: 1}, {Kind: "Secret", Name: "system-seed", Pieces: 1},
				},
				HandoverParts: 1, HandoverSHA256: job.HandoverDigest(s.handover.parts),
				Existing: job.ExistingStorage{Present: true, Empty: true},
			}, got)
			reported, err := job.ParseInspection(s.reports.data)
			require.NoError(t, err)
			assert.Equal(t, &got, reported)
			want := installation()
			paths := []string{"apimanager/apimanager-backup.json", "configmaps/system-environment.json", "secrets/my.policy.json", "secrets/system-seed.json"}
			for i, o := range got.Objects {
				data, err := o.Handed(s.handover.parts)
				require.NoError(t, err)
				assert.Equal(t, want[paths[i]], string(data))
			}
			assert.Empty(t, s.handover.parts[1])
			assert.NotNil(t, s.handover.parts[1], "what an earlier try left is gone")
			assertTellsNothing(t, s, got, nil)
		})
	}
}

// assertTellsNothing looks for the Secrets' values and the keys wherever they must not be.
func assertTellsNothing(t *testing.T, s *stage, result any, err error) {
	t.Helper()
	text, marshalErr := json.Marshal(result)
	require.NoError(t, marshalErr)
	said := string(text) + fmt.Sprint(err, s.reports.data)
	for _, secret := range []string{marker, base64.StdEncoding.EncodeToString([]byte(marker)), "AGE-SECRET-KEY-1Q"} {
		assert.NotContains(t, said, secret)
	}
	if s.key != nil {
		assert.NotContains(t, said, s.key.String())
	}
}

func TestInspectComparesTheFileStorage(t *testing.T) {
	cases := map[string]struct {
		reason  string
		prepare func(t *testing.T, s *stage)
		want    job.ExistingStorage
	}{
		"None":  {"a new namespace has none", func(_ *testing.T, s *stage) { s.inspect.FileStorage = "" }, job.ExistingStorage{}},
		"Empty": {"what the file system has is no data", func(t *testing.T, s *stage) { write(t, s.inspect.FileStorage, "lost+found/x", "") }, job.ExistingStorage{Present: true, Empty: true}},
		"Other": {"somebody's data", func(t *testing.T, s *stage) { write(t, s.inspect.FileStorage, "upload", "x") }, job.ExistingStorage{Present: true}},
		"Same": {"the restore is done already", func(t *testing.T, s *stage) {
			_, err := s.runRefill()
			require.NoError(t, err)
		}, job.ExistingStorage{Present: true, Same: true}},
		"Changed": {"it was used since", func(t *testing.T, s *stage) {
			_, err := s.runRefill()
			require.NoError(t, err)
			write(t, s.inspect.FileStorage, "tenant/logo.png", "PNG")
		}, job.ExistingStorage{Present: true}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, false, nil)
			tc.prepare(t, s)
			got, err := s.runInspect()
			require.NoError(t, err)
			assert.Equal(t, tc.want, got.Existing, tc.reason)
		})
	}
}

// TestInspectOfReadOnlyVolumes: a snapshot, or a PVC that is mounted elsewhere too.
func TestInspectOfReadOnlyVolumes(t *testing.T) {
	if os.Getuid() != 0 {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), "mounting a file system needs root")
		t.Skip("mounting a file system needs root")
	}
	s := newStage(t, true, nil)
	for _, dir := range []string{s.inspect.Volume, s.inspect.FileStorage} {
		require.NoError(t, syscall.Mount(dir, dir, "", syscall.MS_BIND, ""))
		t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
		require.NoError(t, syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	}
	got, err := s.runInspect()
	require.NoError(t, err)
	assert.True(t, got.Completed)
	result, err := s.runRefill()
	assert.Equal(t, job.ExitCannotCreate, mover.ExitCode(err))
	assert.Equal(t, v1alpha1.ReasonVolumeNotWritable, result.Reason)
}

// TestInspectWhileABackupIsWritten: an inspection waits for nobody.
func TestInspectWhileABackupIsWritten(t *testing.T) {
	s := newStage(t, false, nil)
	lock, err := os.OpenFile(filepath.Join(s.inspect.Volume, ".lock"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer lock.Close()
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	_, err = s.runInspect()
	require.NoError(t, err)
	_, err = s.runRefill()
	require.NoError(t, err)
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

func TestInspectHandsOverNothingOf(t *testing.T) {
	flipped := func(path string) func(*testing.T, *stage) {
		return func(t *testing.T, s *stage) { flip(t, s.volumePath(path)) }
	}
	added := func(dir, name string) func(*testing.T, *stage) {
		return func(t *testing.T, s *stage) { write(t, s.volumePath(dir), name, "x") }
	}
	removed := func(path string) func(*testing.T, *stage) {
		return func(t *testing.T, s *stage) { require.NoError(t, os.RemoveAll(s.volumePath(path))) }
	}
	object := func(path, data string) map[string]string {
		objects := installation()
		objects[path] = data
		return objects
	}
	named := func(kind, apiVersion, meta string) string {
		return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":%s,"data":{"x":%q}}`, apiVersion, kind, meta, marker)
	}
	const run = "runs/" + runID + "/"
	integrity, unexpected, undecryptable := v1alpha1.ReasonIntegrity, v1alpha1.ReasonUnexpectedObject, v1alpha1.ReasonDecryptionFailed
	cases := map[string]struct {
		reason    string
		encrypted bool
		objects   map[string]string
		prepare   func(*testing.T, *stage)
		want      string
		exit      int
	}{
		"FlippedObject":          {reason: "a bit of a Secret", prepare: flipped(run + "secrets/system-seed.json"), want: integrity, exit: job.ExitIntegrity},
		"FlippedEncryptedObject": {reason: "a bit of an encrypted one", encrypted: true, prepare: flipped(run + "secrets/system-seed.json.age"), want: integrity, exit: job.ExitIntegrity},
		"FlippedFile":            {reason: "a bit of the file storage", prepare: flipped("trees/*/files/tenant/logo.png"), want: integrity, exit: job.ExitIntegrity},
		"FlippedEncryptedFile":   {reason: "a bit of an encrypted file", encrypted: true, prepare: flipped("trees/*/files/tenant/logo.png"), want: integrity, exit: job.ExitIntegrity},
		"FlippedObjectList":      {reason: "a bit of the digests", prepare: flipped(run + "SHA256SUMS"), want: integrity, exit: job.ExitIntegrity},
		"FlippedFileList":        {reason: "a bit of the files' digests", prepare: flipped("trees/*/SHA256SUMS"), want: integrity, exit: job.ExitIntegrity},
		"FlippedMTREE":           {reason: "a bit of the files' names", prepare: flipped("trees/*/MTREE"), want: integrity, exit: job.ExitIntegrity},
		"MissingObject":          {reason: "an object less", prepare: removed(run + "secrets/system-seed.json"), want: integrity, exit: job.ExitIntegrity},
		"MissingFile":            {reason: "a file less", prepare: removed("trees/*/files/tenant/logo.png"), want: integrity, exit: job.ExitIntegrity},
		"MissingTree":            {reason: "no files at all", prepare: removed("trees"), want: integrity, exit: job.ExitIntegrity},
		"MissingList":            {reason: "no digests", prepare: removed(run + "SHA256SUMS"), want: integrity, exit: job.ExitIntegrity},
		"AdditionalObject":       {reason: "an object that nobody wrote", prepare: added(run+"secrets", "evil.json"), want: integrity, exit: job.ExitIntegrity},
		"AdditionalFile":         {reason: "a file that nobody wrote", prepare: added("trees/*/files", "evil"), want: integrity, exit: job.ExitIntegrity},
		"AdditionalInTree":       {reason: "something beside the files", prepare: added("trees/[0-9a-f]*", "evil"), want: integrity, exit: job.ExitIntegrity},
		"AnotherManifest": {
			reason: "a run that is whole, and another one than was asked for", want: v1alpha1.ReasonRunReplaced, exit: job.ExitIntegrity,
			prepare: func(_ *testing.T, s *stage) { s.inspect.ManifestSHA256 = strings.Repeat("0", 64) },
		},
		"NewerFormat": {
			reason: "a newer program wrote it", want: v1alpha1.ReasonUnsupportedFormat, exit: job.ExitUsage,
			prepare: func(t *testing.T, s *stage) {
				path := s.volumePath(run + "manifest.json")
				data, err := os.ReadFile(path)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(path, bytes.Replace(data, []byte(`"formatVersion": 2`), []byte(`"formatVersion": 4`), 1), 0o600))
			},
		},
		"NoSuchRun": {reason: "a name that is not on the volume", prepare: func(_ *testing.T, s *stage) { s.inspect.Run = "trigger-1a2b3c4d5e6f" }, want: v1alpha1.ReasonRunNotFound, exit: job.ExitUsage},
		"NoIdentity": {
			reason: "an encrypted run and no key", encrypted: true, want: undecryptable, exit: job.ExitNoPermission,
			prepare: func(_ *testing.T, s *stage) { s.inspect.Identities = "" },
		},
		"NoIdentityInFolder": {
			reason: "a Secret that has none", encrypted: true, want: undecryptable, exit: job.ExitNoPermission,
			prepare: func(t *testing.T, s *stage) { s.inspect.Identities = t.TempDir() },
		},
		"WrongIdentity": {
			reason: "a key that does not fit", encrypted: true, want: undecryptable, exit: job.ExitNoPermission,
			prepare: func(t *testing.T, s *stage) {
				require.NoError(t, os.Remove(filepath.Join(s.inspect.Identities, "second.agekey")))
			},
		},
		"GarbageIdentity": {
			reason: "a key that is none", encrypted: true, want: undecryptable, exit: job.ExitNoPermission,
			prepare: func(t *testing.T, s *stage) {
				write(t, s.inspect.Identities, "third.agekey", strings.Replace(s.key.String(), "1", "1b", 1))
			},
		},
		"OtherKind": {
			reason: "Flux would apply it", want: unexpected, exit: job.ExitIntegrity,
			objects: object("secrets/evil.json", named("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", `{"name":"evil"}`)),
		},
		"KindOfAnotherFolder": {reason: "a ConfigMap is not encrypted", objects: object("configmaps/evil.json", named("Secret", "v1", `{"name":"evil"}`)), want: unexpected, exit: job.ExitIntegrity},
		"OtherGroup":          {reason: "a kind of the same name", objects: object("secrets/evil.json", named("Secret", "evil.example/v1", `{"name":"evil"}`)), want: unexpected, exit: job.ExitIntegrity},
		"OtherName":           {reason: "what is listed is what is restored", objects: object("secrets/good.json", named("Secret", "v1", `{"name":"evil"}`)), want: unexpected, exit: job.ExitIntegrity},
		"NoName":              {reason: "likewise", objects: object("secrets/good.json", named("Secret", "v1", `{}`)), want: unexpected, exit: job.ExitIntegrity},
		"BadName":             {reason: "a name is used as a path", objects: object("secrets/a b.json", named("Secret", "v1", `{"name":"a b"}`)), want: unexpected, exit: job.ExitIntegrity},
		"Namespace":           {reason: "nothing leads to another namespace", objects: object("secrets/evil.json", named("Secret", "v1", `{"name":"evil","namespace":"kube-system"}`)), want: unexpected, exit: job.ExitIntegrity},
		"SecondAPIManager":    {reason: "an installation has one", objects: object("apimanager/b.json", installation()["apimanager/apimanager-backup.json"]), want: unexpected, exit: job.ExitIntegrity},
		"OtherAPIManager": {
			reason: "the manifest names another", want: unexpected, exit: job.ExitIntegrity,
			objects: object("apimanager/apimanager-backup.json", named("APIManager", "apps.3scale.net/v1alpha1", `{"name":"other"}`)),
		},
		"NoAPIManager": {
			reason: "there is nothing to install", want: unexpected, exit: job.ExitIntegrity,
			objects: map[string]string{"secrets/system-seed.json": installation()["secrets/system-seed.json"]},
		},
		"NotJSON":    {reason: "an object is one", objects: object("secrets/x.json", marker), want: unexpected, exit: job.ExitIntegrity},
		"TwoObjects": {reason: "an object is one", objects: object("secrets/x.json", named("Secret", "v1", `{"name":"x"}`)+"{}"), want: unexpected, exit: job.ExitIntegrity},
		"NotAFile":   {reason: "a name without .json is none of ours", objects: object("secrets/x", named("Secret", "v1", `{"name":"x"}`)), want: unexpected, exit: job.ExitIntegrity},
		"TooFewParts": {
			reason: "all or nothing", want: v1alpha1.ReasonHandoverTooSmall, exit: job.ExitUsage,
			objects: object("configmaps/large.json", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"large"},"data":{"x":"`+strings.Repeat("x", 2*job.MaxHandoverBytes)+`"}}`),
		},
		"TooManyObjects": {reason: "a report lists them all", objects: many(job.MaxObjects), want: unexpected, exit: job.ExitIntegrity},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, tc.encrypted, tc.objects)
			if tc.prepare != nil {
				tc.prepare(t, s)
			}
			got, err := s.runInspect()
			require.Error(t, err, tc.reason)
			assert.Equal(t, tc.want, got.Reason, "%s: %v", tc.reason, err)
			assert.Equal(t, tc.exit, mover.ExitCode(err), tc.reason)
			assert.False(t, got.Completed)
			assert.NotEmpty(t, got.Message)
			assert.Equal(t, tc.want == integrity, len(got.Problems) > 0, "%v", got.Problems)
			assert.Zero(t, s.handover.puts, "nothing is handed over")
			assert.Empty(t, got.Objects)
			reported, err := job.ParseInspection(s.reports.data)
			require.NoError(t, err)
			assert.Equal(t, &got, reported)
			assertTellsNothing(t, s, got, err)
		})
	}
}

// many returns an installation and so many Secrets more.
func many(n int) map[string]string {
	objects := installation()
	for i := range n {
		objects[fmt.Sprintf("secrets/s%d.json", i)] = fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s%d"}}`, i)
	}
	return objects
}

// TestInspectDoesNotPassOverADamagedRun: nobody wants an older run restored without being asked.
func TestInspectDoesNotPassOverADamagedRun(t *testing.T) {
	s := newStage(t, false, nil)
	v, err := archive.OpenVolume(s.inspect.Volume)
	require.NoError(t, err)
	defer v.Close()
	options := archive.WriteOptions{Run: "newer", Now: func() time.Time { return noon.Add(time.Hour) }}
	for path, data := range installation() {
		options.Objects = append(options.Objects, archive.ObjectFile{Path: path, Data: []byte(data)})
	}
	_, err = v.Write(t.Context(), options)
	require.NoError(t, err)
	got, err := s.runInspect()
	require.NoError(t, err)
	assert.Equal(t, "newer", got.Run)
	flip(t, s.volumePath("runs/newer/manifest.json"))
	puts := s.handover.puts
	for _, run := range []string{job.Latest, "newer"} {
		s.inspect.Run = run
		got, err = s.runInspect()
		assert.Equal(t, v1alpha1.ReasonIntegrity, mover.Reason(err), run)
		assert.Contains(t, got.Message, "newer")
		assert.Equal(t, "newer", got.Run)
	}
	assert.Equal(t, puts, s.handover.puts)
	s.inspect.Run = runID
	_, err = s.runInspect()
	require.NoError(t, err, "it can be asked for")
}

func TestInspectTriesToHandOverAgain(t *testing.T) {
	s := newStage(t, false, nil)
	s.handover.refuse = 2
	_, err := s.runInspect()
	require.NoError(t, err)
	assert.Equal(t, 4, s.handover.puts, "two were refused, two parts are stored")
	s.handover.refuse = 1000
	stopped, stop := context.WithCancel(t.Context())
	env := s.env()
	env.Progress = func(v1alpha1.Progress) {}
	stop()
	_, err = mover.Inspect(stopped, s.inspect, env)
	assert.Equal(t, job.ExitTemporary, mover.ExitCode(err))
}

func TestInspectOfAnOperatorBackup(t *testing.T) {
	s := newStage(t, false, nil)
	volume := t.TempDir()
	for path, data := range installation() {
		write(t, volume, path, data)
	}
	write(t, volume, "system-filestorage-pvc/tenant/logo.png", "png")
	s.inspect.Volume, s.refill.Volume, s.refill.Run = volume, volume, job.Latest
	got, err := s.runInspect()
	require.NoError(t, err)
	assert.Equal(t, archive.UnverifiedRun, got.Run)
	assert.False(t, got.Verified)
	assert.Empty(t, got.ManifestSHA256)
	assert.Equal(t, job.Source{APIManager: apiName, WildcardDomain: domain}, got.Source)
	assert.Equal(t, job.InspectedStorage{Stored: true, Files: 1, Bytes: 3, Entries: 3}, got.FileStorage)
	assert.Len(t, got.Objects, 4)
	assert.NotEmpty(t, got.Warnings)
	s.refill.Run = got.Run
	result, err := s.runRefill()
	require.NoError(t, err)
	assert.Equal(t, int64(1), result.WrittenFiles)
	assert.NotEmpty(t, result.Warnings)
	s.inspect.ManifestSHA256 = strings.Repeat("0", 64)
	got, err = s.runInspect()
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonRunReplaced, got.Reason, "the run that was expected is not this one")
	write(t, volume, "secrets/system-recaptcha.json", "")
	s.inspect.ManifestSHA256 = ""
	got, err = s.runInspect()
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonIntegrity, got.Reason, "an object that it could not read is empty")
}
