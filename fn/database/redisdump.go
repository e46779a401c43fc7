package database

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"threescale.dev/backup/fn/recorded"
)

const (
	// mostKeys are asked for at once, and fewer if they are large: the server holds what it answers.
	firstKeys, mostKeys = 16, 4000
	transactionKeys     = 100
	scanBytes           = 256 << 10 // about what SCAN should answer
	batchBytes          = 1 << 20   // about what the DUMPs of one batch should answer
	// mostScanBytes is what SCAN may answer: the names are held in memory.
	mostScanBytes = 16 << 20
)

// dumpRedis is Dump for Redis. It writes the keys of one index, as they are one after the other: a key that is there all
// the time is in the dump, and one that comes or goes meanwhile may be. Each key has the time to live and the value of
// one moment.
func dumpRedis(ctx context.Context, o DumpOptions) (recorded.Dump, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	dump, err := dumpKeysFile(ctx, o)
	if err != nil { // A half dump would take the space of the next try.
		err = errors.Join(err, os.RemoveAll(o.Into))
	}
	return dump, redisTask{o.Database, o.Connection, dumpRights}.failed(ctx, err)
}

func dumpKeysFile(ctx context.Context, o DumpOptions) (recorded.Dump, error) {
	dump := recorded.Dump{Name: string(o.Database), Kind: recorded.Redis, StartTime: o.Now().UTC()}
	conn, err := openRedis(ctx, o.Connection)
	if err != nil {
		return recorded.Dump{}, err
	}
	defer conn.close()
	s, _, err := conn.look()
	if err != nil {
		return recorded.Dump{}, err
	}
	dump.ServerVersion = s.Version
	if dump.Keys, dump.Bytes, err = conn.dumpTo(o, s); err != nil {
		return recorded.Dump{}, err
	}
	dump.CompletionTime = o.Now().UTC()
	return dump, nil
}

// dumpTo writes the file of a dump, and has it on the disk when it returns.
func (c *redisConn) dumpTo(o DumpOptions, before Server) (keys, bytes int64, err error) {
	if err := errors.Join(os.RemoveAll(o.Into), os.MkdirAll(o.Into, 0o770)); err != nil {
		return 0, 0, err
	}
	file, err := os.OpenFile(filepath.Join(o.Into, keysFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	counted := &meteredWriter{file, meter{now: o.Now, report: o.Progress}}
	d := redisDumper{conn: c, out: bufio.NewWriterSize(counted, bufferSize), batch: firstKeys, before: before}
	if err := d.run(); err != nil {
		return 0, 0, err
	}
	writeKeys(d.out, d.keys)
	if err := errors.Join(d.out.Flush(), file.Sync()); err != nil {
		return 0, 0, err
	}
	return d.keys, counted.done, nil
}

// redisDumper dumps one index over one connection.
type redisDumper struct {
	conn     *redisConn
	out      *bufio.Writer
	keys     int64  // written
	absolute bool   // the server has PEXPIRETIME
	before   Server // what was known of it at the start
	batch    int    // keys that are dumped at once
}

// run asks for the next names together with the last values of those before, so that it waits once for many keys.
func (d *redisDumper) run() error {
	if err := d.probe(); err != nil {
		return err
	}
	var keys []string
	cursor, count, named := "0", firstKeys, false
	for !named || len(keys) > 0 {
		part := keys[:min(d.batch, len(keys))]
		keys = keys[len(part):]
		ask := !named && len(keys) == 0
		d.sendDump(part)
		if ask {
			d.conn.send("SCAN", cursor, "COUNT", strconv.Itoa(count))
		}
		if err := d.conn.flush(); err != nil {
			return err
		}
		bytes, err := d.readDump(part)
		if err != nil {
			return err
		}
		d.batch = paced(d.batch, bytes, batchBytes)
		if ask {
			if keys, cursor, err = d.readScan(); err != nil {
				return err
			}
			count = paced(count, length(keys), scanBytes)
			named = cursor == "0"
		}
	}
	return d.proveUnchanged()
}

// proveUnchanged refuses what a load wrote to meanwhile: that is keys of before and of after. SCAN need not show its mark.
func (d *redisDumper) proveUnchanged() error {
	d.conn.send("GET", loadingKey)
	if err := d.conn.flush(); err != nil {
		return err
	}
	text, marked, err := d.conn.value("GET")
	if err != nil {
		return err
	}
	after := Server{}
	if marked {
		parseMark(text).tell(&after)
	}
	if after.Loading != d.before.Loading || after.Loaded != d.before.Loaded {
		return &judgedError{Failed, fmt.Errorf("a restore has begun or ended in it meanwhile (its key %s): dump it again when that restore has ended", loadingKey)}
	}
	return nil
}

// paced returns how many keys to ask for next, so that an answer has about so many bytes.
func paced(n int, bytes, want int64) int {
	switch {
	case bytes > want:
		return int(max(1, int64(n)*want/bytes))
	case bytes < want/2:
		return min(2*n, mostKeys)
	}
	return n
}

func length(keys []string) (bytes int64) {
	for _, key := range keys {
		bytes += int64(len(key))
	}
	return bytes
}

// probe finds out whether the server has PEXPIRETIME, as Redis has since 7.0, and the login may use it.
func (d *redisDumper) probe() error {
	d.conn.send("PEXPIRETIME", loadingKey)
	if err := d.conn.flush(); err != nil {
		return err
	}
	_, err := d.conn.integer("PEXPIRETIME")
	_, refused := errors.AsType[*refusal](err)
	d.absolute = err == nil
	if refused {
		return nil
	}
	return err
}

// readScan returns some names of keys, and where to go on.
func (d *redisDumper) readScan() (keys []string, next string, err error) {
	c := d.conn
	parts, err := c.array("SCAN")
	if err == nil && parts != 2 {
		err = errNotRESP
	}
	if err != nil {
		return nil, "", err
	}
	if next, err = c.bulk("SCAN"); err != nil {
		return nil, "", err
	}
	n, err := c.array("SCAN")
	if err != nil {
		return nil, "", err
	}
	var bytes int64
	for range n {
		key, err := c.bulk("SCAN")
		if err != nil {
			return nil, "", err
		}
		if bytes += int64(len(key)); bytes > mostScanBytes {
			return nil, "", fmt.Errorf("the names of keys are too long: %w", &tooLongError{bytes, mostScanBytes})
		}
		keys = append(keys, key)
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return key == lockKey || key == loadingKey && d.before.Loaded != "" })
	if slices.Contains(keys, loadingKey) {
		return nil, "", &judgedError{Failed, fmt.Errorf("it was loaded only in part: restore into it again, or delete its key %s if it is to stay as it is", loadingKey)}
	}
	return keys, next, nil
}

// sendDump asks for keys. A transaction has the time to live and the value of a key be those of the same moment; it is
// short, since the server does nothing else meanwhile.
func (d *redisDumper) sendDump(keys []string) {
	for part := range slices.Chunk(keys, transactionKeys) {
		d.conn.send("MULTI")
		for _, command := range d.commands(part) {
			d.conn.send(command...)
		}
		d.conn.send("EXEC")
	}
}

// readDump writes what sendDump asked for.
func (d *redisDumper) readDump(keys []string) (bytes int64, err error) {
	for part := range slices.Chunk(keys, transactionKeys) {
		size, err := d.readTransaction(part)
		if err != nil {
			return 0, err
		}
		bytes += size
	}
	return bytes, nil
}

func (d *redisDumper) readTransaction(keys []string) (bytes int64, err error) {
	c := d.conn
	if err := c.status("MULTI"); err != nil {
		return 0, err
	}
	commands := d.commands(keys)
	for _, command := range commands {
		if err := c.status(command[0]); err != nil {
			return 0, err
		}
	}
	answers, err := c.array("EXEC")
	if err == nil && answers != len(commands) {
		err = errNotRESP
	}
	if err != nil {
		return 0, err
	}
	return d.answers(keys)
}

func (d *redisDumper) commands(keys []string) [][]string {
	var commands [][]string
	for _, key := range keys {
		if d.absolute {
			commands = append(commands, []string{"PEXPIRETIME", key})
		} else {
			commands = append(commands, []string{"TIME"}, []string{"PTTL", key})
		}
		commands = append(commands, []string{"DUMP", key})
	}
	return commands
}

// answers reads what a transaction answers to commands, and writes it.
func (d *redisDumper) answers(keys []string) (bytes int64, err error) {
	for _, key := range keys {
		expires, err := d.expiry()
		if err != nil {
			return 0, err
		}
		size, err := d.payload(key, expires)
		if err != nil {
			return 0, err
		}
		bytes += size
	}
	return bytes, nil
}

// expiry returns when a key expires, in milliseconds since 1970; 0: never.
func (d *redisDumper) expiry() (int64, error) {
	if d.absolute {
		expires, err := d.conn.integer("PEXPIRETIME")
		return max(expires, 0), err
	}
	now, err := d.conn.time()
	if err != nil {
		return 0, err
	}
	left, err := d.conn.integer("PTTL")
	if left < 0 {
		return 0, err
	}
	return now + left, err
}

// payload copies what DUMP answers.
func (d *redisDumper) payload(key string, expires int64) (bytes int64, err error) {
	size, err := d.conn.length("DUMP")
	if errors.Is(err, errNoBulk) { // It has gone since the SCAN.
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	writeRestoreHead(d.out, key, expires, size)
	if _, err := io.CopyN(d.out, d.conn.r, size); err != nil {
		return 0, unexpected(err)
	}
	writeRestoreEnd(d.out)
	d.keys++
	return size, readEnd(d.conn.r)
}

// time returns the server's time, in milliseconds since 1970.
func (c *redisConn) time() (int64, error) {
	parts, err := c.array("TIME")
	if err == nil && parts != 2 {
		err = errNotRESP
	}
	if err != nil {
		return 0, err
	}
	var values [2]int64
	for i := range values {
		text, err := c.bulk("TIME")
		if err != nil {
			return 0, err
		}
		if values[i], err = parseNumber(text); err != nil {
			return 0, err
		}
	}
	return values[0]*1000 + values[1]/1000, nil
}

// meter counts bytes, and tells about once a second.
type meter struct {
	now    func() time.Time
	report func(int64) // may be nil
	done   int64
	last   time.Time
}

func (m *meter) add(n int) {
	m.done += int64(n)
	if m.report == nil {
		return
	}
	if now := m.now(); now.Sub(m.last) >= time.Second {
		m.last = now
		m.report(m.done)
	}
}

// meteredWriter counts what it writes.
type meteredWriter struct {
	w io.Writer
	meter
}

func (p *meteredWriter) Write(data []byte) (int, error) {
	n, err := p.w.Write(data)
	p.add(n)
	return n, err
}
