// Package controller is the adapter of ThreeScaleRestore to a cluster, in the manner of Flux'
// controllers: it observes, has package restore decide, acts, and saves the status. Besides the
// mover's reporter, no other package has a client of the cluster. Start with Reconciler.Reconcile;
// work.proceed is the loop.
package controller
