// Package operator stands in for the 3scale operator in a cluster that has the
// real APIManager CRD and none of 3scale's images. It does to the objects of a
// namespace what the operator does to them, and runs none of its Deployments.
// Start with [Start].
//
// What the operator does is read in its source, in which the functions below
// are named. It is stricter in one thing: where an object has another controller
// owner already, the operator leaves it at that, and this fails for as long as
// that is so, lest a test miss it.
package operator
