// Package render proves the examples of backups: each folder of examples/ but
// restore/ is rendered in this process, and with the build tag "render" by the
// real `crossplane render` and by the render engine of Crossplane's own binary,
// and all have to equal the same golden file.
//
// An example is its claim.yaml, which is written by hand, and a [Scenario],
// which says what installation the claim meets and what has happened to it
// before. [Inputs] makes the other files of both; `go generate ./test/render`
// writes them.
package render

//go:generate go run ./generate -root ../..
