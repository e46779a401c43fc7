// Command echo is the composition function of the cluster's own tests: it
// composes one ResourceQuota in the namespace of the claim.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	"github.com/crossplane/function-sdk-go"
	"github.com/crossplane/function-sdk-go/errors"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/request"
	"github.com/crossplane/function-sdk-go/resource"
	"github.com/crossplane/function-sdk-go/response"
)

type options struct {
	TLSServerCertsDir string `help:"Folder with the server's certificate."`
	Address           string `help:"Address to listen on."`
}

func main() {
	var o options
	kong.Parse(&o)
	if err := function.Serve(&echo{}, function.Listen("tcp", o.Address), function.MTLSCertificates(o.TLSServerCertsDir), function.WithMetricsServer("")); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

type echo struct {
	fnv1.UnimplementedFunctionRunnerServiceServer
}

// RunFunction composes the ResourceQuota.
func (*echo) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp := response.To(req, response.DefaultTTL)
	xr, err := request.GetObservedCompositeResource(req)
	if err != nil {
		response.Fatal(rsp, errors.Wrap(err, "cannot get composite resource"))
		return rsp, nil
	}
	namespace, err := xr.Resource.GetString("spec.claimRef.namespace")
	if err != nil {
		response.Fatal(rsp, errors.Wrap(err, "cannot get namespace of claim"))
		return rsp, nil
	}
	composed := resource.NewDesiredComposed()
	composed.Resource.SetAPIVersion("v1")
	composed.Resource.SetKind("ResourceQuota")
	composed.Resource.SetNamespace(namespace)
	composed.Resource.SetName("echo")
	desired := map[resource.Name]*resource.DesiredComposed{"echo": composed}
	if err := response.SetDesiredComposedResources(rsp, desired); err != nil {
		response.Fatal(rsp, errors.Wrap(err, "cannot set composed resources"))
	}
	return rsp, nil
}
