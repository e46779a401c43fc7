// Command build makes the product's images and Crossplane packages, and pushes
// them. It needs no container engine: an image is a layer with static binaries
// and a few lines of configuration.
//
// The same binaries give the same bytes on each machine, digests included:
// nothing here tells the time, and all that is listed is sorted. So the
// configuration packages refer to the function by its digest before anybody
// has pushed it.
//
// Start with [release].
package main
