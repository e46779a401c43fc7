// Package function is the adapter between Crossplane and package compose: it
// decodes a request, has it decided, and encodes the answer.
package function

import (
	"context"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"

	"threescale.dev/backup/fn/compose"
)

// Function answers Crossplane's calls: decode, compose, encode.
type Function struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	// Now is the clock.
	Now func() time.Time

	log logging.Logger
}

// New returns a Function that logs to log.
func New(log logging.Logger) *Function { return &Function{Now: time.Now, log: log} }

// RunFunction runs the function once. It never returns an error: what is wrong
// is a fatal result, with conditions that the user sees.
func (f *Function) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	log := f.log.WithValues("tag", req.GetMeta().GetTag())
	rsp := response.To(req, response.DefaultTTL)
	observed, err := decode(req)
	if err != nil {
		log.Info("Cannot decode the request", "error", err)
		response.Fatal(rsp, err)
		return rsp, nil
	}
	observed.Now = f.Now()
	desired := compose.Compose(observed)
	if err := encode(desired, rsp); err != nil {
		log.Info("Cannot encode the response", "error", err)
		response.Fatal(rsp, err)
		return rsp, nil
	}
	log.Debug("Composed", "composite", observed.Composite.Name, "resources", len(desired.Resources))
	return rsp, nil
}
