// Package openshift plays what the 3scale operator waits for and no cluster but
// OpenShift has: its image triggers, its controller of DeploymentConfigs, and its
// router. Start with [Start].
//
// What it plays is read in the source of openshift-controller-manager and of
// openshift/router, in which the functions below are named. A pod is run for
// system-sidekiq alone, by a ReplicationController and so by Kubernetes itself:
// its image is one that the tests have. Of the other DeploymentConfigs the
// operator sees nothing but the status, and no test talks to their programs; they
// are available without pods.
package openshift
