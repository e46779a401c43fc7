// Package operator stands in for newer 3scale operators (2.16, de2fb005), of which
// the module proxy has none, in what they do and v0.11.0 does not: Deployments in
// the place of DeploymentConfigs, the conditions Preflights, DeploymentsAvailable,
// RoutesReady and SecretsAvailable, and the refusal of an upgrade that leaves out a
// minor version. All else is tested with v0.11.0 itself: see cluster.StartThreeScaleOperator.
// Start with [Start].
//
// What it does is read in their source, in which the functions below are named. It
// draws no Secret: those of the installation have to be there. Of its Deployments
// only system-sidekiq has pods; the others have no replicas, and the controller of
// Deployments calls that available. It is stricter in one thing: where an object
// has another controller owner already, the operator leaves it at that, and this
// fails for as long as that is so, lest a test miss it.
package operator
