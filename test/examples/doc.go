// Package examples proves the examples of restores, the folders of
// examples/restore: that the API server would accept each as it is, and that
// the restore and what Flux needs beside it agree. [Load] reads one, and
// [Place] puts it somewhere else, to be applied to a real cluster.
package examples
