package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"threescale.dev/backup/fn/recorded"
)

// A batch of RESTORE ends when it has so many bytes, or so many keys: then its answers are read.
const (
	loadBytes = 1 << 20
	loadKeys  = 10_000
)

// freedTime is how often a server is asked whether it has freed what was deleted.
const freedTime = 100 * time.Millisecond

// loadRedis is Load for Redis. Before anything changes, the dump is read to its end, and the server has proven that it
// takes its format. Then all other keys of the index go, and the marker is there until the load has ended.
func loadRedis(ctx context.Context, o LoadOptions) (Loaded, error) {
	task := redisTask{o.Database, o.Connection, loadRights}
	loaded, err := loadKeysFile(ctx, o)
	return loaded, task.failed(ctx, err)
}

func loadKeysFile(ctx context.Context, o LoadOptions) (_ Loaded, err error) {
	file, err := os.Open(filepath.Join(o.From, keysFile))
	if err != nil {
		return Loaded{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	whole, err := proveDump(&endsWith{ctx, file})
	if err != nil {
		return Loaded{}, err
	}
	conn, err := openRedis(ctx, o.Connection)
	if err != nil {
		return Loaded{}, err
	}
	defer conn.close()
	l := redisLoader{conn: conn, o: o, dump: whole}
	server, err := l.load(ctx, file)
	if l.marked {
		err = hasWritten(err)
	}
	return Loaded{Server: server}, err
}

func (l *redisLoader) load(ctx context.Context, file *os.File) (Server, error) {
	if err := l.begin(ctx); err != nil {
		return Server{}, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Server{}, err
	}
	if err := l.restore(file); err != nil {
		return Server{}, err
	}
	return l.end()
}

// endsWith is a reader that ends with a context.
type endsWith struct {
	ctx context.Context
	r   io.Reader
}

func (e *endsWith) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.r.Read(p)
}

// redisLoader loads one dump over one connection.
type redisLoader struct {
	conn    *redisConn
	o       LoadOptions
	dump    proven
	evicted int64 // keys that the server threw away before
	marked  bool  // the server has taken the marker, and what follows changes what it holds
}

// begin makes the index empty but for the marker.
func (l *redisLoader) begin(ctx context.Context) error {
	before, info, err := l.conn.look()
	if err != nil {
		return err
	}
	if err := checkRedis(l.o.Dump, before, l.o.Policy, l.o.Run); err != nil {
		return err
	}
	if info["role"] == "slave" {
		return &refusal{"RESTORE", "READONLY"}
	}
	l.evicted = info.number("evicted_keys")
	if err := l.mark(); err != nil {
		return l.newer(err, before)
	}
	l.marked = true
	if before.Empty {
		return nil
	}
	return l.empty(ctx)
}

// checkRedis is Check for Redis. The versions are a first look: what the server takes is proven by the marker.
func checkRedis(dump recorded.Dump, s Server, p Policy, run string) error {
	if redisRelease(s.Version) < redisRelease(dump.ServerVersion) {
		return &judgedError{Unsupported, fmt.Errorf("the dump is of Redis %s, and the server is the older %s: use one as new as that which was dumped", dump.ServerVersion, s.Version)}
	}
	if p == Replace || s.Empty || s.Loading != "" && s.Loading == run {
		return nil
	}
	if s.Loading != "" {
		return &judgedError{NotEmpty, fmt.Errorf("the load of run %q into it has not ended: restore that run again, or let this one replace what is there", s.Loading)}
	}
	return &judgedError{NotEmpty, errors.New("it has keys")}
}

// redisRelease makes a number of the first two parts of a version: the format of payloads may differ between two such,
// and a server takes those of older ones only. It is 0 for what is no version.
func redisRelease(version string) int {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, err := strconv.Atoi(major)
	y, err2 := strconv.Atoi(minor)
	if err != nil || err2 != nil {
		return 0
	}
	return x*1000 + y
}

// mark sets the marker, by a RESTORE in the format of the dump: a server that does not take it has kept all it had.
func (l *redisLoader) mark() error {
	l.sendMark()
	if err := l.conn.flush(); err != nil {
		return err
	}
	return l.conn.status("RESTORE")
}

func (l *redisLoader) sendMark() {
	l.conn.send("RESTORE", loadingKey, "0", stringPayload(l.o.Run, l.dump.version), "REPLACE")
}

// newer says which versions do not go together, if that is why the marker was refused.
func (l *redisLoader) newer(err error, s Server) error {
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	if problem, _ := judgeText(refused); problem != Unsupported {
		return err
	}
	return &judgedError{Unsupported, fmt.Errorf("a dump of Redis %s (format %d) cannot be loaded into Redis %s, nothing was changed: %w",
		l.o.Dump.ServerVersion, l.dump.version, s.Version, err)}
}

// empty deletes all keys but the marker, and waits until the server has freed them: it may have no space for both.
func (l *redisLoader) empty(ctx context.Context) error {
	l.conn.send("FLUSHDB", "ASYNC")
	l.sendMark()
	if err := l.conn.flush(); err != nil {
		return err
	}
	if err := errors.Join(l.conn.status("FLUSHDB"), l.conn.status("RESTORE")); err != nil {
		return err
	}
	for {
		info, err := l.conn.info()
		if err != nil || info.number("lazyfree_pending_objects") == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(freedTime):
		}
	}
}

// restore sends all keys.
func (l *redisLoader) restore(file io.Reader) error {
	d := newDumpReader(&meteredReader{file, meter{now: time.Now, report: l.o.Progress}})
	var keys, bytes int64 // sent, and not yet answered
	for {
		key, err := d.next(l.conn.w)
		whole := err == io.EOF //nolint:errorlint // It is never wrapped.
		if err != nil && !whole {
			return l.conn.reason(err, keys)
		}
		if !whole {
			keys, bytes = keys+1, bytes+key.bytes
			if keys < loadKeys && bytes < loadBytes {
				continue
			}
		}
		if err := l.conn.restored(keys); err != nil || whole {
			return err
		}
		keys, bytes = 0, 0
	}
}

// restored sends what is in the buffer, and reads the answers to so many RESTOREs.
func (c *redisConn) restored(keys int64) error {
	if err := c.flush(); err != nil {
		return c.reason(err, keys)
	}
	for range keys {
		if err := c.status("RESTORE"); err != nil {
			return err
		}
	}
	return nil
}

// reason returns what the server said before it ended the connection, where it did.
func (c *redisConn) reason(err error, answers int64) error {
	for range answers + 1 {
		said := c.status("RESTORE")
		if _, ok := errors.AsType[*refusal](said); ok {
			return said
		}
		if said != nil {
			return err
		}
	}
	return err
}

// end removes the marker, if the server still has all that it was sent.
func (l *redisLoader) end() (Server, error) {
	info, err := l.conn.info()
	if err != nil {
		return Server{}, err
	}
	if evicted := info.number("evicted_keys") - l.evicted; evicted > 0 {
		return Server{}, &judgedError{Full, fmt.Errorf("the server threw away %d keys since they are more than its maxmemory, by its maxmemory-policy %s: give it more",
			evicted, info["maxmemory_policy"])}
	}
	server, _, err := l.conn.look()
	if err != nil {
		return Server{}, err
	}
	server.Loading, server.Empty = "", l.dump.keys == 0
	l.conn.send("DEL", loadingKey) // The last thing that may fail: then the dump is loaded.
	if err := l.conn.flush(); err != nil {
		return Server{}, err
	}
	_, err = l.conn.integer("DEL")
	return server, err
}

// meteredReader counts what it reads.
type meteredReader struct {
	r io.Reader
	meter
}

func (p *meteredReader) Read(data []byte) (int, error) {
	n, err := p.r.Read(data)
	p.add(n)
	return n, err
}
