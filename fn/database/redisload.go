package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A transaction of RESTORE ends when it has so many bytes, or so many keys: the server does nothing else meanwhile.
const (
	loadBytes = 1 << 20
	loadKeys  = 2_000
)

// freedTime is how often a server is asked whether it has freed what was deleted.
const freedTime = 100 * time.Millisecond

// loadRedis is Load for Redis. Before anything changes, the dump is read to its end, and the server has proven that it
// takes its format. Then all other keys of the index go. The mark is there from then on, and each transaction that changes
// anything depends on it: none of a load that another one has taken the place of has an effect, however late it comes.
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
	lock, err := lockRedis(ctx, o)
	if err != nil {
		return Loaded{}, err
	}
	defer lock.release()
	l := redisLoader{conn: conn, o: o, dump: whole, lock: lock.token, mark: o.loading()}
	loaded, err := l.load(ctx, file)
	if err != nil {
		err = l.evictions(err)
	}
	if l.marked {
		err = hasWritten(err)
	}
	return loaded, err
}

func (l *redisLoader) load(ctx context.Context, file *os.File) (Loaded, error) {
	before, err := l.begin(ctx)
	if err != nil {
		return Loaded{}, err
	}
	if l.o.isLoaded(before) {
		return l.o.loadedBefore(before), nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Loaded{}, err
	}
	if err := l.restore(file); err != nil {
		return Loaded{}, err
	}
	server, err := l.end()
	return Loaded{Server: server}, err
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
	lock    string // the token of the lock
	mark    mark   // what the server has or gets
	evicted int64  // keys that the server threw away before
	marked  bool   // the server has taken the marker, and what follows changes what it holds
}

// begin makes the index empty but for the mark and the lock. If the attempt has loaded it before, it changes nothing.
func (l *redisLoader) begin(ctx context.Context) (before Server, err error) {
	if err := l.watch(); err != nil {
		return Server{}, err
	}
	before, info, err := l.conn.look()
	if err != nil {
		return Server{}, err
	}
	if err := checkRedis(before, l.o); err != nil || l.o.isLoaded(before) {
		return before, err
	}
	if info["role"] == "slave" {
		return Server{}, &refusal{"RESTORE", "READONLY"}
	}
	l.evicted = info.number("evicted_keys")
	l.conn.send("MULTI")
	l.sendMark()
	if err := l.commit("RESTORE"); err != nil {
		return Server{}, l.newer(err, before)
	}
	l.marked = true
	if before.Empty {
		return before, nil
	}
	return before, l.empty(ctx)
}

// watch proves by an empty transaction that the login may make one, without which commands would have an effect at once, and
// watches the mark for the first.
func (l *redisLoader) watch() error {
	c := l.conn
	for _, command := range [][]string{{"MULTI"}, {"EXEC"}, {"WATCH", loadingKey}} {
		c.send(command...)
	}
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.status("MULTI"); err != nil {
		return err
	}
	if _, err := c.array("EXEC"); err != nil {
		return err
	}
	return c.status("WATCH")
}

// checkRedis is Check for Redis. The versions are a first look: what the server takes is proven by the mark.
func checkRedis(s Server, o LoadOptions) error {
	if redisRelease(s.Version) < redisRelease(o.Dump.ServerVersion) {
		return &judgedError{Unsupported, fmt.Errorf("the dump is of Redis %s, and the server is the older %s: use one as new as that which was dumped", o.Dump.ServerVersion, s.Version)}
	}
	switch {
	case mayWrite(s, o), s.Empty:
		return nil
	case s.Loading != "" || s.Loaded != "":
		return unfinished(s)
	}
	return &judgedError{NotEmpty, errors.New("it has keys")}
}

// redisRelease makes a number of the first two parts of a version: the format of payloads may differ between two such,
// and a server takes those of older ones only. It is 0 for what is no version.
func redisRelease(version string) uint64 {
	const bits = 16
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, err := strconv.ParseUint(major, 10, bits)
	y, err2 := strconv.ParseUint(minor, 10, bits)
	if err != nil || err2 != nil {
		return 0
	}
	return x<<bits + y
}

// sendMark sets the mark, by a RESTORE in the format of the dump: a server that does not take it has kept all it had.
func (l *redisLoader) sendMark() {
	l.conn.send("RESTORE", loadingKey, "0", stringPayload(l.mark.String(), l.dump.version), "REPLACE")
}

// commit ends a transaction of so many commands, and begins to watch the mark for the next one, which so has no effect
// once another load has set its own. One that had none is an error whatever the mark is by then: what it sent is not there.
func (l *redisLoader) commit(commands ...string) error {
	c := l.conn
	c.send("EXEC")
	c.send("WATCH", loadingKey)
	c.send("GET", loadingKey)
	if err := c.flush(); err != nil {
		return c.reason(err, len(commands)+1)
	}
	if err := c.status("MULTI"); err != nil {
		return err
	}
	for _, command := range commands {
		if err := c.status(command); err != nil {
			return err
		}
	}
	answers, err := c.array("EXEC")
	refused := errors.Is(err, errNoBulk) // What was watched has changed.
	switch {
	case refused:
		commands = nil
	case err != nil:
		return err
	case answers != len(commands):
		return errNotRESP
	}
	for _, command := range commands {
		if err := c.status(command); err != nil {
			return err
		}
	}
	if err := c.status("WATCH"); err != nil {
		return err
	}
	text, err := c.bulk("GET")
	if errors.Is(err, errNoBulk) || err == nil && (refused || text != l.mark.String()) {
		return &judgedError{Locked, errTaken}
	}
	return err
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

// empty deletes all keys but the mark and the lock, and waits until the server has freed them: it may have no space for
// both.
func (l *redisLoader) empty(ctx context.Context) error {
	l.conn.send("MULTI")
	l.conn.send("FLUSHDB", "ASYNC")
	l.sendMark()
	sendLock(l.conn, l.lock)
	if err := l.commit("FLUSHDB", "RESTORE", "SET"); err != nil {
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
	for whole := false; !whole; {
		l.conn.send("MULTI")
		keys, bytes := 0, int64(0)
		for keys < loadKeys && bytes < loadBytes {
			key, err := d.next(l.conn.w)
			if whole = err == io.EOF; whole { //nolint:errorlint // It is never wrapped.
				break
			}
			if err != nil {
				return l.conn.reason(err, keys+1)
			}
			keys, bytes = keys+1, bytes+key.bytes
		}
		if err := l.commit(slices.Repeat([]string{"RESTORE"}, keys)...); err != nil {
			return err
		}
	}
	return nil
}

// reason returns what the server said before it ended the connection, where it did.
func (c *redisConn) reason(err error, answers int) error {
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

// end sets the mark of what is loaded, if the server still has all that it was sent.
func (l *redisLoader) end() (Server, error) {
	if err := l.evictions(nil); err != nil {
		return Server{}, err
	}
	server, _, err := l.conn.look()
	if err != nil {
		return Server{}, err
	}
	l.mark = l.o.loaded()
	l.conn.send("MULTI")
	l.sendMark()
	server.Loading, server.Loaded, server.Empty = "", l.mark.String(), l.dump.keys == 0
	return server, l.commit("RESTORE")
}

// evictions returns an error if the server has thrown keys away, perhaps the mark, and other if it has not.
func (l *redisLoader) evictions(other error) error {
	if other != nil && !errors.Is(other, errTaken) {
		return other
	}
	info, err := l.conn.info()
	if err != nil {
		return cmp.Or(other, err)
	}
	if evicted := info.number("evicted_keys") - l.evicted; evicted > 0 {
		return &judgedError{Full, fmt.Errorf("the server threw away %d keys since they are more than its maxmemory, by its maxmemory-policy %s: give it more",
			evicted, info["maxmemory_policy"])}
	}
	return other
}

// confirmRedis is Confirm for Redis.
func confirmRedis(ctx context.Context, o LoadOptions) error {
	return redisTask{o.Database, o.Connection, loadRights}.failed(ctx, removeMark(ctx, o))
}

func removeMark(ctx context.Context, o LoadOptions) error {
	conn, err := openRedis(ctx, o.Connection)
	if err != nil {
		return err
	}
	defer conn.close()
	conn.send("WATCH", loadingKey)
	if err := errors.Join(conn.flush(), conn.status("WATCH")); err != nil {
		return err
	}
	s, _, err := conn.look()
	if err != nil || !o.owns(s) {
		return err
	}
	for _, command := range [][]string{{"MULTI"}, {"DEL", loadingKey}, {"EXEC"}} {
		conn.send(command...)
	}
	if err := errors.Join(conn.flush(), conn.status("MULTI"), conn.status("DEL")); err != nil {
		return err
	}
	if _, err := conn.array("EXEC"); err != nil && !errors.Is(err, errNoBulk) { // Else another load has set its mark.
		return err
	}
	return nil
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
