package mover

import (
	"context"
	"fmt"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// Handover takes the objects of a run, in parts of at most job.MaxHandoverBytes.
type Handover interface {
	// Parts returns how many parts there is room for.
	Parts() int
	// Put stores a part, counted from 0, in place of all that it held. It must have been stored when Put returns
	// without an error.
	Put(ctx context.Context, part int, data map[string][]byte) error
}

// pack distributes objects over parts, in their order, and notes in each object where it lies. One that is larger than
// a part is cut into pieces.
func pack(objects []checkedFile) []map[string][]byte {
	var parts []map[string][]byte
	room := 0
	next := func() {
		parts = append(parts, make(map[string][]byte))
		room = job.MaxHandoverBytes
	}
	for i := range objects {
		o := &objects[i]
		key := o.Key()
		if size := len(key) + len(o.data); len(parts) == 0 || size > room {
			next()
		}
		o.Part, o.Pieces = len(parts)-1, 1
		rest := o.data
		for len(key)+len(rest) > room {
			cut := room - len(key)
			parts[len(parts)-1][key] = rest[:cut]
			rest = rest[cut:]
			next()
			o.Pieces++
		}
		parts[len(parts)-1][key] = rest
		room -= len(key) + len(rest)
	}
	return parts
}

// handOver stores the parts, and empties those that are left over.
func handOver(ctx context.Context, h Handover, parts []map[string][]byte) error {
	for i := range h.Parts() {
		data := map[string][]byte{}
		if i < len(parts) {
			data = parts[i]
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := persist(ctx, func(ctx context.Context) error { return h.Put(ctx, i, data) })
		switch {
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("cannot hand over part %d of %d before the end: %w; the last try: %w", i+1, len(parts), ctx.Err(), err)
		case err != nil:
			return &failure{v1alpha1.ReasonHandoverFailed, fmt.Errorf("cannot hand over part %d of %d: %w", i+1, len(parts), err)}
		}
	}
	return nil
}
