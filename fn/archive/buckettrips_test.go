package archive

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

// distant is a bucket of which each answer takes a second, so that the seconds that pass are the requests that were
// made one after another. It is to be used in a bubble of synctest.
type distant struct {
	t *testing.T
	*Bucket
	faults *objectstore.Faults
}

func newDistant(t *testing.T) *distant {
	t.Helper()
	faults := objectstore.NewFaults()
	server, dial := objectstore.StartInMemory(t, objectstore.Through(faults))
	client, err := s3.New(s3.Options{
		Endpoint: server.Endpoint, Bucket: server.Bucket, Region: "us-east-1", PathStyle: true, Insecure: true,
		Credentials: s3.Credentials{AccessKey: server.AccessKey, SecretKey: server.SecretKey}, Connections: bucketWorkers, Dial: dial,
	})
	require.NoError(t, err)
	d := &distant{t, newBucket(client, "s3://"+server.Bucket+"/p", "p"), faults}
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// trips returns how many requests were made one after another.
func (d *distant) trips(do func()) int {
	const trip = time.Second
	d.faults.Always(objectstore.Any, objectstore.Delay(trip))
	defer d.faults.Clear()
	start := time.Now()
	do()
	return int(time.Since(start) / trip)
}

// fill makes so many files, all alike in size.
func (f *fixture) fill(files int) {
	f.t.Helper()
	for i := range files {
		f.add(fmt.Sprintf("tenant/%02d/%04d", i%7, i), fmt.Sprintf("content %04d", i))
	}
}

// changeEach changes each n-th file.
func (f *fixture) changeEach(n, files int) {
	f.t.Helper()
	for i := n - 1; i < files; i += n {
		f.add(fmt.Sprintf("tenant/%02d/%04d", i%7, i), fmt.Sprintf("changed %04d", i))
	}
}

// TestRoundTrips: how many requests wait for another is a decision, since each takes as long as the object store is far
// away. Whoever adds one changes a number here. A lock that is held while a request is made stops the time.
func TestRoundTrips(t *testing.T) {
	const (
		workers = 8
		rounds  = 10 // more than a pipeline holds, so that what is sent would wait for what is not
		files   = rounds * workers
	)
	f := newFixture(t)
	f.fill(files)
	f.write("r1")
	f.changeEach(files/workers, files)
	f.write("r2")
	f.write("r3") // the same tree
	other, err := OpenVolume(t.TempDir())
	require.NoError(t, err)
	defer other.Close()
	synctest.Test(t, func(t *testing.T) {
		d, back := newDistant(t), t.TempDir()
		copying := func(id string) func() {
			return func() {
				_, err := d.Copy(t.Context(), f.volume, CopyOptions{Runs: []string{id}, Owner: testOwner, Workers: workers})
				require.NoError(t, err)
			}
		}
		restoring := func() {
			run, err := d.OpenRun(t.Context(), "r3")
			require.NoError(t, err)
			_, err = run.Restore(t.Context(), back, RestoreOptions{Existing: Fail, Workers: workers})
			require.NoError(t, err)
		}
		fetching := func() {
			_, err := d.Fetch(t.Context(), other, CopyOptions{Runs: []string{"r3"}, Workers: workers}, "test")
			require.NoError(t, err)
		}
		for _, step := range []struct {
			name   string
			reason string
			do     func()
			want   int
		}{
			{
				"first copy", "OWNER, which is not there, and then is made; WRITER; a list of blobs, and MTREE; blobs; SHA256SUMS and manifest.json, before each of which WRITER is read",
				copying("r1"), 2 + 1 + 1 + rounds + 4,
			},
			{"few files changed", "Likewise, but OWNER is there, and they are sent at once", copying("r2"), 1 + 1 + 1 + 1 + 4},
			{"same tree", "OWNER; WRITER; objects; their SHA256SUMS; manifest.json, likewise", copying("r3"), 1 + 1 + 1 + 1 + 2},
			{"copied before", "OWNER and manifest.json are read at once", copying("r3"), 1},
			{"restore", "manifest.json; lists, once; a first blob, which proves that it can be read; the blobs", restoring, 1 + 1 + 1 + rounds},
			{"restored before", "manifest.json; lists", restoring, 1 + 1},
			{
				"copy to a volume", "manifest.json; a look at the lists, and they; a first blob, and all; SHA256SUMS, objects and manifest.json of the run",
				fetching, 1 + 2 + 1 + rounds + 3,
			},
		} {
			assert.Equal(t, step.want, d.trips(step.do), "%s: %s", step.name, step.reason)
		}
	})
}
