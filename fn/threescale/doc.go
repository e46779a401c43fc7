// Package threescale knows what a 3scale installation is made of: which
// Secrets, ConfigMaps and custom resource belong to it, which other Secrets its
// APIManager refers to, whether it can be backed up, and what an object looks
// like in a backup. Start with Secrets, ConfigMaps and ReferencedSecrets for
// what to take, with InternalDatabases and FileStorageProblem for whether that is
// possible, and with CleanForBackup and EncodeJSON for how to store it.
//
// The package is pure: objects come in as *unstructured.Unstructured and
// values go out. It has no client, no clock and no environment.
//
// Its facts come from the source of the 3scale operator, versions 0.5.0 (3scale 2.8) to
// 0.13.0 (3scale 2.16). Comments name the file and, where it helps, the lines at version
// 0.13.0, commit de2fb005.
package threescale
