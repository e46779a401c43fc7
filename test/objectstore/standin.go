//go:build !e2e

package objectstore

// Real reports whether Start starts a real object store.
const Real = false
