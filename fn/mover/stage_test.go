package mover_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
)

const (
	runID   = "20261122t120000z-1a2b3c4d"
	marker  = "a value that nobody may tell"
	domain  = "apps.example.com"
	apiName = "example"
)

// memory is a Handover that remembers; it refuses the first few parts.
type memory struct {
	parts  []map[string][]byte
	refuse int
	puts   int
}

func (m *memory) Parts() int { return len(m.parts) }

func (m *memory) Put(_ context.Context, part int, data map[string][]byte) error {
	m.puts++
	if m.refuse > 0 {
		m.refuse--
		return errors.New("the API server does not answer")
	}
	m.parts[part] = data
	return nil
}

// reports remembers what was reported, as the report ConfigMap does.
type reports struct {
	mu   sync.Mutex
	data map[string]string
}

func (r *reports) Report(_ context.Context, key string, value any) error {
	text, err := json.Marshal(value)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data[key] = string(text)
	return err
}

// stage is a backup volume with one run, and a file storage to restore into.
type stage struct {
	t        *testing.T
	inspect  job.InspectOptions
	refill   job.RefillOptions
	handover *memory
	reports  *reports
	source   string // the file storage that was backed up
	key      *age.X25519Identity
}

// newStage writes a run of the given objects, by path; nil: those of a small installation.
func newStage(t *testing.T, encrypted bool, objects map[string]string) *stage {
	t.Helper()
	return newStageOf(t, encrypted, objects, func(*archive.WriteOptions) {})
}

// newStageOf is newStage with more in the run.
func newStageOf(t *testing.T, encrypted bool, objects map[string]string, edit func(*archive.WriteOptions)) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{t: t, handover: &memory{parts: make([]map[string][]byte, 2)}, reports: &reports{data: map[string]string{}}, source: filepath.Join(dir, "source")}
	volume, files, identities := filepath.Join(dir, "volume"), filepath.Join(dir, "target"), filepath.Join(dir, "identities")
	for _, path := range []string{volume, files, identities} {
		require.NoError(t, os.MkdirAll(path, 0o755))
	}
	write(t, s.source, "tenant/logo.png", "png")
	write(t, s.source, "tenant/.htaccess", "deny")
	s.inspect = job.InspectOptions{Run: job.Latest, Volume: volume, FileStorage: files, Identities: identities, Handover: []string{"a", "b"}}
	s.refill = job.RefillOptions{Run: runID, Volume: volume, FileStorage: files, Identities: identities, Existing: v1alpha1.ExistingFail}
	if objects == nil {
		objects = installation()
	}
	options := archive.WriteOptions{
		Run: runID, Files: s.source, Now: now,
		Source: archive.Source{Namespace: "3scale", APIManager: apiName, UID: "u", Version: "2.16.0"},
	}
	for path, data := range objects {
		options.Objects = append(options.Objects, archive.ObjectFile{Path: path, Data: []byte(data)})
	}
	if encrypted {
		var err error
		s.key, err = age.GenerateX25519Identity()
		require.NoError(t, err)
		options.Recipients = []string{s.key.Recipient().String()}
		write(t, identities, "first.agekey", "# another one\n"+newKey(t)+"\n")
		write(t, identities, "second.agekey", s.key.String()+"\n")
		write(t, identities, "sops.asc", "not for us")
	}
	edit(&options)
	v, err := archive.OpenVolume(volume)
	require.NoError(t, err)
	defer v.Close()
	_, err = v.Write(t.Context(), options)
	require.NoError(t, err)
	return s
}

func newKey(t *testing.T) string {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return key.String()
}

func installation() map[string]string {
	secret := func(name string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q},"type":"Opaque","data":{"KEY":%q}}`, name, base64.StdEncoding.EncodeToString([]byte(marker)))
	}
	return map[string]string{
		"apimanager/apimanager-backup.json":  fmt.Sprintf(`{"apiVersion":"apps.3scale.net/v1alpha1","kind":"APIManager","metadata":{"name":%q},"spec":{"wildcardDomain":%q}}`, apiName, domain),
		"configmaps/system-environment.json": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"system-environment"},"data":{"A":"b"}}`,
		"secrets/system-seed.json":           secret("system-seed"),
		"secrets/my.policy.json":             secret("my.policy"),
	}
}

func (s *stage) env() mover.Env {
	return mover.Env{Reporter: s.reports, Handover: s.handover, Now: now}
}

func (s *stage) runInspect() (job.Inspection, error) {
	return mover.Inspect(s.t.Context(), s.inspect, s.env())
}

func (s *stage) runRefill() (job.RefillResult, error) {
	return mover.Refill(s.t.Context(), s.refill, s.env())
}

// volumePath returns the path of something on the volume; a star may stand for the tree.
func (s *stage) volumePath(path string) string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.inspect.Volume, filepath.FromSlash(path)))
	require.NoError(s.t, err)
	require.Len(s.t, found, 1, path)
	return found[0]
}
