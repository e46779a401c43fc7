package database

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/databases/redisserver"
)

// TestRedisThatIsWrittenTo has a writer with promises that a dump must keep: keys that stay are all there, and no value
// has the time to live of another.
func TestRedisThatIsWrittenTo(t *testing.T) {
	source, target := redisserver.Start(t, compare), redisserver.Start(t, compare)
	c := source.Client(t, 0)
	fill(t, c)
	stay := valuesOf(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	wrote := make(chan error, 1)
	rounds := make(chan struct{})
	go func() { // It adds keys, so that the server's table grows, and changes others in one step each.
		defer close(wrote)
		for round := 0; ctx.Err() == nil; round++ {
			p := c.Pipeline()
			for i := range 200 {
				name := "changes:" + strconv.Itoa(i)
				if (round+i)%2 == 0 {
					p.Set(ctx, name, "forever", 0)
				} else {
					p.Set(ctx, name, "an hour", time.Hour)
				}
				p.Set(ctx, fmt.Sprintf("new:%d:%d", round, i), "x", time.Minute)
				p.Del(ctx, fmt.Sprintf("new:%d:%d", round-3, i))
				if i%2 == 0 {
					p.Set(ctx, fmt.Sprintf("more:%d:%d", round, i), "x", 0)
				}
			}
			if _, err := p.Exec(ctx); err != nil && ctx.Err() == nil {
				wrote <- err
				return
			}
			select {
			case rounds <- struct{}{}:
			default:
			}
		}
	}()
	<-rounds
	from, dump := dumped(t, connectionTo(source, 0))
	<-rounds // It was writing all the time.
	cancel()
	require.NoError(t, <-wrote)

	_, err := loadAndConfirm(t, loadOf(from, dump, connectionTo(target, 0)))
	require.NoError(t, err)
	after := valuesOf(t, target.Client(t, 0))
	for key, v := range stay {
		assert.Equal(t, v, after[key])
	}
	changed := 0
	for key, v := range after {
		if !strings.HasPrefix(key, "changes:") {
			continue
		}
		changed++
		value := target.Client(t, 0).Get(t.Context(), key).Val()
		assert.Equal(t, value == "forever", v.expires == -1, "%s of %q", value, key)
	}
	assert.Equal(t, 200, changed)
}

func TestKeyThatHasGoneSinceTheScan(t *testing.T) {
	s := redisserver.Start(t)
	require.NoError(t, s.Client(t, 0).Set(t.Context(), "there", "x", 0).Err())
	conn, err := openRedis(t.Context(), connectionTo(s, 0))
	require.NoError(t, err)
	defer conn.close()
	for _, absolute := range []bool{true, false} {
		var out bytes.Buffer
		d := redisDumper{conn: conn, out: bufio.NewWriter(&out), absolute: absolute}
		keys := []string{"gone", "there", "gone too"}
		d.sendDump(keys)
		require.NoError(t, conn.flush())
		_, err = d.readDump(keys)
		require.NoError(t, err)
		writeKeys(d.out, 1)
		require.NoError(t, d.out.Flush())
		found, err := proveDump(&out)
		require.NoError(t, err)
		assert.Equal(t, int64(1), found.keys)
	}
}

// TestRedisIsLoadedWhileItIsDumped: a mark of a load that has ended is not dumped, and hides no other load.
func TestRedisIsLoadedWhileItIsDumped(t *testing.T) {
	const ended = "run-1 loaded x"
	for reason, tc := range map[string]struct{ before, after string }{
		"another load began":       {ended, "run-2 loading y"},
		"another load has ended":   {ended, "run-2 loaded y"},
		"a load came and went":     {ended, ""},
		"one began that SCAN sees": {"", "run-2 loading y"},
	} {
		s := redisserver.Start(t)
		c := s.Client(t, 0)
		fill(t, c)
		set := func(mark string) {
			assert.NoError(t, c.Del(t.Context(), loadingKey).Err())
			if mark != "" {
				assert.NoError(t, c.Set(t.Context(), loadingKey, mark, 0).Err())
			}
		}
		set(tc.before)
		err := dumpError(t, proxy(t, s, 200_000, 0, func() { set(tc.after) }))
		assertProblem(t, Failed, err, loadingKey)
		set(ended)
		_, dump := dumped(t, connectionTo(s, 0))
		assert.Equal(t, c.DBSize(t.Context()).Val()-1, dump.Keys, reason)
	}
}

func TestPace(t *testing.T) {
	for reason, c := range map[string]struct {
		n     int
		bytes int64
		want  int
	}{
		"few bytes: twice as many keys":        {16, 100, 32},
		"never more than so many":              {mostKeys, 0, mostKeys},
		"about right":                          {16, 700_000, 16},
		"too many bytes: as many as would fit": {1000, 10 << 20, 100},
		"one large value":                      {1000, 500 << 30, 1},
	} {
		assert.Equal(t, c.want, paced(c.n, c.bytes, batchBytes), reason)
	}
}

func TestDumpTellsHowFarItIs(t *testing.T) {
	s := redisserver.Start(t)
	fill(t, s.Client(t, 0))
	var now time.Time
	var told []int64
	o := DumpOptions{
		Database: threescale.BackendRedis, Connection: connectionTo(s, 0), Into: t.TempDir(),
		Now:      func() time.Time { now = now.Add(time.Second); return now },
		Progress: func(bytes int64) { told = append(told, bytes) },
	}
	dump, err := dumpRedis(t.Context(), o)
	require.NoError(t, err)
	require.NotEmpty(t, told)
	assert.IsIncreasing(t, told)
	assert.Equal(t, dump.Bytes, told[len(told)-1])
}

// childOfRedis is set for a child that dumps and loads, and prints the most memory that it took.
const childOfRedis = "THREESCALE_BACKUP_TEST_REDIS"

func init() { //nolint:gochecknoinits // TestMain is in the package outside, which does not see dumpRedis.
	text, ok := os.LookupEnv(childOfRedis)
	if !ok {
		return
	}
	var from, to int
	var into string
	_, err := fmt.Sscan(text, &from, &to, &into)
	if err == nil {
		err = dumpAndLoad(from, to, into)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	status, _ := os.ReadFile("/proc/self/status")
	fmt.Println(string(status))
	os.Exit(0)
}

func dumpAndLoad(from, to int, into string) error {
	dump, err := dumpRedis(context.Background(), DumpOptions{
		Database: threescale.BackendRedis, Connection: connectionTo(&redisserver.Server{Port: from}, 0), Into: into,
	})
	if err != nil {
		return err
	}
	o := loadOf(into, dump, connectionTo(&redisserver.Server{Port: to}, 0))
	if _, err := loadRedis(context.Background(), o); err != nil {
		return err
	}
	return confirmRedis(context.Background(), o)
}

// TestMemoryOfLargeRedis has values and a number of keys that are each larger than what may be taken.
func TestMemoryOfLargeRedis(t *testing.T) {
	const large, most = 100_000_000, 64 << 10 // bytes, KiB
	source, target := redisserver.Start(t, compare, "rdbcompression no"), redisserver.Start(t, compare)
	c := source.Client(t, 0)
	require.NoError(t, c.SetRange(t.Context(), "large", large, "x").Err())
	require.NoError(t, c.Do(t.Context(), "DEBUG", "POPULATE", "200000", "key", "500").Err())
	into := filepath.Join(t.TempDir(), "dump")
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", childOfRedis, source.Port, target.Port, into))
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	peak, err := strconv.Atoi(regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindStringSubmatch(string(out))[1])
	require.NoError(t, err)
	t.Logf("peak memory: %d MiB", peak>>10)
	assert.Less(t, peak, most)
	digest := func(s *redisserver.Server) string {
		out, err := s.Client(t, 0).Do(t.Context(), "DEBUG", "DIGEST").Text()
		require.NoError(t, err)
		return out
	}
	assert.Equal(t, digest(source), digest(target))
	info, err := os.Stat(filepath.Join(into, keysFile))
	require.NoError(t, err)
	assert.Greater(t, info.Size(), int64(200_000*500+large))
}

// benchmarkKeys is like Backend: many keys with a short value and a time to live.
const benchmarkKeys = 200_000

func benchmarked(b *testing.B) *redisserver.Server {
	b.Helper()
	s := redisserver.Start(b, compare)
	c := s.Client(b, 0)
	for part := range benchmarkKeys / 1000 {
		p := c.Pipeline()
		for i := range 1000 {
			p.Set(b.Context(), fmt.Sprintf("stats/{service:12}/cinstance:%d/metric:3/day:20261130", part*1000+i), i, time.Hour)
		}
		_, err := p.Exec(b.Context())
		require.NoError(b, err)
	}
	return s
}

func BenchmarkRedisDump(b *testing.B) {
	s := benchmarked(b)
	o := DumpOptions{Database: threescale.BackendRedis, Connection: connectionTo(s, 0), Into: filepath.Join(b.TempDir(), "dump")}
	before := processors(b, s)
	for b.Loop() {
		_, err := dumpRedis(b.Context(), o)
		require.NoError(b, err)
	}
	reportKeys(b, s, before)
}

func BenchmarkRedisLoad(b *testing.B) {
	s := benchmarked(b)
	into := filepath.Join(b.TempDir(), "dump")
	dump, err := dumpRedis(b.Context(), DumpOptions{Database: threescale.BackendRedis, Connection: connectionTo(s, 0), Into: into})
	require.NoError(b, err)
	target := redisserver.Start(b)
	o := loadOf(into, dump, connectionTo(target, 0))
	o.Policy = Replace
	before := processors(b, target)
	for b.Loop() {
		_, err := loadRedis(b.Context(), o)
		require.NoError(b, err)
	}
	reportKeys(b, target, before)
}

// reportKeys reports the time of a processor, too, which neighbours change less than that which passes.
func reportKeys(b *testing.B, s *redisserver.Server, before time.Duration) {
	b.Helper()
	keys := benchmarkKeys * float64(b.N)
	b.ReportMetric(keys/b.Elapsed().Seconds(), "keys/s")
	b.ReportMetric(keys/(processors(b, s)-before).Seconds(), "keys/server-s")
}

// processors is how long the server had processors.
func processors(b *testing.B, s *redisserver.Server) time.Duration {
	b.Helper()
	var used time.Duration
	for _, match := range regexp.MustCompile(`used_cpu_(?:sys|user):([0-9.]+)`).FindAllStringSubmatch(s.Client(b, 0).Info(b.Context(), "cpu").Val(), -1) {
		seconds, err := strconv.ParseFloat(match[1], 64)
		require.NoError(b, err)
		used += time.Duration(seconds * float64(time.Second))
	}
	return used
}
