package mover

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// FuzzCheckObject: an object that may be restored is of the kind of its folder, has the name of its file and no namespace,
// whoever wrote it to the volume.
func FuzzCheckObject(f *testing.F) {
	for _, object := range dataset.Installation(dataset.Options{Seed: 1}) {
		text, err := threescale.EncodeJSON(threescale.CleanForBackup(object).Object)
		require.NoError(f, err)
		dir := map[string]string{threescale.KindSecret: "secrets", threescale.KindConfigMap: "configmaps", threescale.APIManagerKind: "apimanager"}[object.GetKind()]
		f.Add(dir+"/"+object.GetName()+".json", text)
	}
	f.Add("secrets/a.json", []byte(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a","namespace":"other"}}`))
	f.Add("secrets/a.json", []byte(`{"kind":"Secret","KIND":"Role","apiVersion":"v1","metadata":{"name":"a","name":"b"}}`))
	f.Add("secrets/../configmaps/a.json", []byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}`))
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		kind, decoded, err := checkObject(archive.ObjectFile{Path: path, Data: data})
		if err != nil {
			return
		}
		text, err := json.Marshal(decoded.Object)
		require.NoError(t, err, "what passes can be encoded again")
		_, again, err := checkObject(archive.ObjectFile{Path: path, Data: text})
		require.NoError(t, err)
		assert.Equal(t, decoded, again)
		assert.Equal(t, kind, decoded.GetKind())
		assert.Empty(t, decoded.GetNamespace())
		assert.Regexp(t, `^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`, decoded.GetName())
		switch kind {
		case threescale.KindSecret, threescale.KindConfigMap:
			assert.Equal(t, map[string]string{threescale.KindSecret: "secrets", threescale.KindConfigMap: "configmaps"}[kind]+"/"+decoded.GetName()+".json", filepath.Clean(path))
			assert.Equal(t, "v1", decoded.GetAPIVersion())
		default:
			assert.Equal(t, threescale.APIManagerKind, kind)
			assert.Equal(t, threescale.APIManagerAPIVersion, decoded.GetAPIVersion())
		}
	})
}

// FuzzReadDump: what describes a dump was written beside an image of a user's. It is of the database that is asked for, and
// tells the size that its files have, or it is refused.
func FuzzReadDump(f *testing.F) {
	text, err := json.Marshal(recorded.Dump{Name: "system-database", Kind: recorded.PostgreSQL, Bytes: 4, Tool: "pg_dump 15.18", ServerVersion: "15.18"})
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"name":"system-database","bytes":4}{"name":"zync-database"}`))
	f.Add([]byte(`{"name":"system-database","bytes":4e0}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "system-database"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "system-database", "dump"), []byte("dump"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "system-database"+dumpSuffix), text, 0o600))
		if made, err := readDump(dir, threescale.SystemDatabase); err == nil {
			assert.Equal(t, "system-database", made.Name)
			assert.EqualValues(t, 4, made.Bytes)
		}
		_, err := readDump(dir, threescale.ZyncDatabase)
		assert.Error(t, err, "another database has none")
	})
}
