package database

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"io"
	"strconv"
	"strings"
)

// A dump is a file of commands, in RESP, that load it again: one RESTORE for each key, with the time in milliseconds at
// which it expires (0: never) and the payload of DUMP, and in the end ECHO with the number of keys, which proves that
// the file is whole:
//
//	*6 RESTORE <key> <time> <payload> REPLACE ABSTTL
//	*2 ECHO "<number> keys"
//
// It selects no index: redis-cli -n <index> --pipe loads it into any.
const keysFile = "keys.resp"

const (
	// loadingKey has the mark of a load.
	loadingKey = "threescale-backup:loading"
	// lockKey keeps other loads out of an index; see redisLock.
	lockKey = "threescale-backup:lock"
)

// A payload of DUMP ends with the version of the format (RDB) that it is in, and with a CRC-64 of all before.
const (
	payloadVersionSize = 2
	payloadFooterSize  = payloadVersionSize + 8
)

// restored is what is known of a key of a dump.
type restored struct {
	bytes   int64  // of its name and its payload
	version uint16 // of the payload's format
}

// writeRestoreHead writes the command until the payload's header; the payload and writeRestoreEnd follow.
func writeRestoreHead(w *bufio.Writer, key string, expires, payload int64) {
	writeHeader(w, respArray, 6)
	writeBulk(w, "RESTORE")
	writeBulk(w, key)
	writeBulk(w, strconv.FormatInt(expires, 10))
	writeHeader(w, respBulk, payload)
}

func writeRestoreEnd(w *bufio.Writer) {
	_, _ = w.WriteString("\r\n")
	writeBulk(w, "REPLACE")
	writeBulk(w, "ABSTTL")
}

func writeKeys(w *bufio.Writer, keys int64) {
	writeCommand(w, "ECHO", fmt.Sprintf("%d keys", keys))
}

// dumpReader reads a dump, and takes nothing that is not exactly as it is written: a dump is executed by a server.
type dumpReader struct {
	r    *bufio.Reader
	keys int64 // read until now
}

func newDumpReader(r io.Reader) *dumpReader {
	return &dumpReader{r: bufio.NewReaderSize(r, bufferSize)}
}

// next copies one RESTORE to w. At the end of a whole dump it returns io.EOF, and copies nothing.
func (d *dumpReader) next(w *bufio.Writer) (key restored, err error) {
	if key, err = d.command(w); err == nil || err == io.EOF { //nolint:errorlint // io.EOF is never wrapped here.
		return key, err
	}
	if _, broken := w.Write(nil); broken != nil {
		return restored{}, broken
	}
	return restored{}, &judgedError{Failed, fmt.Errorf("the dump is damaged after %d keys: %w", d.keys, err)}
}

func (d *dumpReader) command(w *bufio.Writer) (restored, error) {
	words, err := d.length(respArray, 6)
	if err != nil {
		return restored{}, err
	}
	switch words {
	case 2:
		return restored{}, d.end()
	case 6:
		return d.restore(w)
	}
	return restored{}, errNotRESP
}

func (d *dumpReader) restore(w *bufio.Writer) (restored, error) {
	if err := d.word("RESTORE"); err != nil {
		return restored{}, err
	}
	writeHeader(w, respArray, 6)
	writeBulk(w, "RESTORE")
	name, err := d.key(w)
	if err != nil {
		return restored{}, err
	}
	if err := d.expires(w); err != nil {
		return restored{}, err
	}
	payload, version, err := d.payload(w)
	if err != nil {
		return restored{}, err
	}
	for _, word := range []string{"REPLACE", "ABSTTL"} {
		if err := d.word(word); err != nil {
			return restored{}, err
		}
		writeBulk(w, word)
	}
	d.keys++
	return restored{name + payload, version}, nil
}

// key copies the name of a key. A dump cannot set or remove the mark or the lock.
func (d *dumpReader) key(w *bufio.Writer) (length int64, err error) {
	if length, err = d.length(respBulk, maxBulk); err != nil {
		return 0, err
	}
	for _, own := range []string{loadingKey, lockKey} {
		if length != int64(len(own)) {
			continue
		}
		if key, _ := d.r.Peek(len(own)); string(key) == own {
			return 0, fmt.Errorf("it has the key %s, which is ours", own)
		}
	}
	writeHeader(w, respBulk, length)
	if err := copyBulk(w, d.r, length); err != nil {
		return 0, err
	}
	_, _ = w.WriteString("\r\n")
	return length, nil
}

func (d *dumpReader) expires(w *bufio.Writer) error {
	text, err := d.short()
	if err != nil {
		return err
	}
	if expires, err := parseNumber(text); err != nil || expires < 0 {
		return errNotRESP
	}
	writeBulk(w, text)
	return nil
}

func (d *dumpReader) payload(w *bufio.Writer) (length int64, version uint16, err error) {
	if length, err = d.length(respBulk, maxBulk); err != nil {
		return 0, 0, err
	}
	if length < payloadFooterSize {
		return 0, 0, errNotRESP
	}
	writeHeader(w, respBulk, length)
	if _, err := io.CopyN(w, d.r, length-payloadFooterSize); err != nil {
		return 0, 0, unexpected(err)
	}
	footer, err := readBulk(d.r, payloadFooterSize)
	if err != nil {
		return 0, 0, err
	}
	_, _ = w.WriteString(footer)
	_, _ = w.WriteString("\r\n")
	return length, binary.LittleEndian.Uint16([]byte(footer)), nil
}

// end reads the last command, behind which there is nothing.
func (d *dumpReader) end() error {
	if err := d.word("ECHO"); err != nil {
		return err
	}
	text, err := d.short()
	if err != nil {
		return err
	}
	number, ok := strings.CutSuffix(text, " keys")
	if keys, err := parseNumber(number); err != nil || !ok || keys != d.keys {
		return fmt.Errorf("it ends with %q", text)
	}
	if _, err := d.r.ReadByte(); err != io.EOF { // A bufio.Reader returns it as it is.
		return fmt.Errorf("something follows its end: %w", errNotRESP)
	}
	return io.EOF
}

func (d *dumpReader) length(kind byte, most int64) (int64, error) {
	got, text, err := readHeader(d.r)
	if err != nil {
		return 0, err
	}
	if got != kind {
		return 0, errNotRESP
	}
	return parseLength(text, most)
}

// short reads a string that is a word or a number.
func (d *dumpReader) short() (string, error) {
	length, err := d.length(respBulk, 64)
	if err != nil {
		return "", err
	}
	return readBulk(d.r, length)
}

func (d *dumpReader) word(want string) error {
	word, err := d.short()
	if err == nil && word != want {
		return errNotRESP
	}
	return err
}

// proven is what reading a whole dump has found.
type proven struct {
	keys    int64
	version uint16 // the newest format of a payload; 0 without keys
}

// proveDump reads a dump to its end.
func proveDump(r io.Reader) (proven, error) {
	var found proven
	d := newDumpReader(r)
	w := bufio.NewWriter(io.Discard)
	for {
		key, err := d.next(w)
		if err == io.EOF { //nolint:errorlint // It is never wrapped.
			return found, nil
		}
		if err != nil {
			return proven{}, err
		}
		found.keys, found.version = d.keys, max(found.version, key.version)
	}
}

// jones is the polynomial of Redis' CRC-64, reversed. Redis begins with 0 where hash/crc64 begins with all ones, and does
// not invert the result.
var jones = crc64.MakeTable(0x95ac9329ac4bc9b5)

func redisCRC(data []byte) uint64 { return ^crc64.Update(^uint64(0), jones, data) }

// stringPayload returns what DUMP returns for a string of less than 16 KiB in a version of the format. All versions have
// strings alike.
func stringPayload(value string, version uint16) string {
	const shortString, oneByte, twoBytes = 0, 1 << 6, 1 << 14
	payload := []byte{shortString}
	if len(value) < oneByte {
		payload = append(payload, byte(len(value)))
	} else {
		payload = binary.BigEndian.AppendUint16(payload, twoBytes|uint16(len(value)))
	}
	payload = append(payload, value...)
	payload = binary.LittleEndian.AppendUint16(payload, version)
	return string(binary.LittleEndian.AppendUint64(payload, redisCRC(payload)))
}
