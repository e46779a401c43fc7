package memory

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage is left lying, in percent of what is in use: as usual up to enough bytes, and then as many bytes, but
// never less than least.
const (
	usual  = 100
	least  = 10
	enough = 8 << 20
)

// Save has the garbage collector work more once much memory is in use. By itself it lets garbage take as much again,
// which is little for a small process and much for one that holds a list of a million files. Nothing is to be followed in
// such a list, so that collecting more often costs next to nothing. GOGC, if it is set, takes precedence.
func Save() {
	if os.Getenv("GOGC") == "" {
		(&cycle{percent: usual}).begin()
	}
}

// cycle is garbage whenever the collector looks, and so learns of each of its cycles.
type cycle struct {
	percent int
	_       *byte // objects without pointers may share a block, which is garbage only with all of them
}

func (c *cycle) begin() { runtime.SetFinalizer(c, (*cycle).end) }

func (c *cycle) end() {
	const coarse = 5 // to set it stops the process for a moment
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := garbageOf(live[0].Value.Uint64())
	if percent < c.percent-coarse || percent > c.percent+coarse {
		debug.SetGCPercent(percent)
		c.percent = percent
	}
	c.begin()
}

// garbageOf returns how much garbage is left lying, in percent of the bytes that are in use.
func garbageOf(live uint64) int {
	return int(min(usual, max(least, usual*enough/max(1, live))))
}
