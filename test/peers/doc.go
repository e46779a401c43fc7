// Package peers builds the programs that the product works with (Kubernetes,
// etcd, Crossplane, Flux, the 3scale operator, ...) from their Go modules, so
// that a test can run the real ones on a machine without an image registry.
// Start with [Binary].
//
// Each peer is a Go module of its own in a folder beside this file: its
// requirements never move the product's, and its go.sum says exactly which
// source is built. A peer is built once; the binaries are kept outside the
// repository, in [CacheDir].
package peers
