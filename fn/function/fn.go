// Package function is the adapter between Crossplane and package compose: it
// decodes a request, has it decided, and encodes the answer.
package function

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"google.golang.org/protobuf/types/known/structpb"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose"
)

// Function answers Crossplane's calls: decode, compose, encode.
type Function struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	// Now is the clock.
	Now func() time.Time
	// Rendering lets the pipeline's context set the clock, so that a rendering can be
	// repeated. In a function that core calls, a Composition must not set the time.
	Rendering bool

	log logging.Logger
	// turns has a place for each call that is worked on. More at a time than there are
	// processors would be done no sooner, and hold more memory.
	turns chan struct{}
}

// New returns a Function that logs to log.
func New(log logging.Logger) *Function {
	return &Function{Now: time.Now, log: log, turns: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// RunFunction runs the function once. Its only error is that of ctx: what is wrong is a
// fatal result, with conditions that the user sees.
func (f *Function) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (rsp *fnv1.RunFunctionResponse, _ error) {
	log := f.log.WithValues("tag", req.GetMeta().GetTag())
	select {
	case f.turns <- struct{}{}:
		defer func() { <-f.turns }()
	case <-ctx.Done(): // nobody waits for the answer any more
		return nil, ctx.Err()
	}
	defer func() {
		if recover() != nil {
			// One composite must not end the process, which serves all of them.
			// The panic's value may hold data, so that only the stack is logged.
			log.Info("Cannot answer the request", "stack", string(debug.Stack()))
			rsp = failed(req, errors.New("cannot answer: this is a bug of the function, please report it with the stack in its log"))
		}
	}()
	observed, err := decode(req)
	if err != nil {
		log.Info("Cannot decode the request", "error", err)
		return failed(req, err), nil
	}
	observed.Now = f.now(req)
	desired := compose.Compose(observed)
	rsp = response.To(req, desired.TTL)
	if err := encode(desired, rsp); err != nil {
		log.Info("Cannot encode the response", "error", err)
		return failed(req, err), nil
	}
	rsp.Context = noteAsked(rsp.GetContext(), len(req.GetRequiredResources()) == 0)
	log.Debug("Composed", "composite", observed.Composite.Name, "resources", len(desired.Resources))
	return rsp, nil
}

// contextNow is a key of the pipeline's context. Its value, in RFC 3339, is the time
// while rendering.
const contextNow = v1alpha1.Group + "/now"

func (f *Function) now(req *fnv1.RunFunctionRequest) time.Time {
	now, err := time.Parse(time.RFC3339, req.GetContext().GetFields()[contextNow].GetStringValue())
	if f.Rendering && err == nil {
		return now
	}
	return f.Now()
}

// contextAsked is a key of the pipeline's context that is there while core has
// been asked, and has handed nothing over yet: within a reconcile it passes the
// context of an answer to the next call.
const contextAsked = v1alpha1.Group + "/asked"

func wasAsked(req *fnv1.RunFunctionRequest) bool {
	return req.GetContext().GetFields()[contextAsked].GetBoolValue()
}

// noteAsked returns a context with the key, or without it.
func noteAsked(before *structpb.Struct, asked bool) *structpb.Struct {
	fields := maps.Clone(before.GetFields())
	if fields == nil {
		fields = map[string]*structpb.Value{}
	}
	delete(fields, contextAsked)
	if asked {
		fields[contextAsked] = structpb.NewBoolValue(true)
	}
	return &structpb.Struct{Fields: fields}
}

// failed answers with a fatal result, upon which core changes nothing, and with
// the conditions that a claim shows.
func failed(req *fnv1.RunFunctionRequest, err error) *fnv1.RunFunctionResponse {
	rsp := response.To(req, response.DefaultTTL)
	message := job.Sentence(err.Error())
	for _, name := range []string{v1alpha1.ConditionPreflightPassed, v1alpha1.ConditionBackupCompleted} {
		response.ConditionUnknown(rsp, name, v1alpha1.ReasonInternalError).WithMessage(message).TargetCompositeAndClaim()
	}
	response.Fatal(rsp, err)
	return rsp
}
