// Package manifests tests what is shipped to be applied: the kustomize bases of
// manifests/, and the packages of package/ and crossplane.yaml. [RightsTable]
// prints a shipped role as the table that the pages show:
//
//	go run ./test/manifests/rights
package manifests
