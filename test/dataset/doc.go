// Package dataset makes realistic data for tests, benchmarks and the
// demonstration: the files of a System FileStorage with Generate, and the
// objects of a whole 3scale installation with Installation. The same seed gives
// the same bytes, names and times; nothing in it is real.
package dataset
