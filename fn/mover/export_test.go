package mover

// Denied is denied, for a test that root runs too, whom nothing is forbidden.
var Denied = denied
