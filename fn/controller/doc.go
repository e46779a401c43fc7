// Package controller is the Flux-style adapter of ThreeScaleRestore: it
// observes, has package restore decide, and does what that says. It is the only
// package with a cluster client besides the mover's reporter. Start at
// Reconciler.Reconcile; work.proceed is the loop, and each action has a file.
package controller
