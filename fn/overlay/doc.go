// Package overlay turns the objects of a backup into a kustomize tree that Flux
// can apply: base/<name>/ with one file an object, and overlays/<name>/ with the
// namespace, the file storage's PVC, and patches for what changes with the
// place. Build makes it and proves, by building it with kustomize itself, that
// what comes out are exactly the objects that were meant. BuildFiles does that
// last step alone, for a tree whose Secrets have been encrypted meanwhile, and
// Removed tells which files of an earlier tree are gone.
//
// The objects come from a volume that others can write. So kinds and names are
// admitted by list, each manifest is put together anew from the fields that it
// may have, and anything else is an UnexpectedObjectError.
//
// The package is pure: values go in, values come out, and the same input gives
// the same bytes. Its files hold Secrets in plain text; File.Secret marks the
// ones that must be encrypted before they are written anywhere.
package overlay
