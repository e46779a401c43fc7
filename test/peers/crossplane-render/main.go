// Command crossplane-render has Crossplane's own render engine, the hidden
// `crossplane internal render`, answer a request: what the released command line
// does behind `crossplane composition render`. Engine and front end speak protobuf;
// this one speaks JSON to its caller, so that who calls it needs no module of
// Crossplane's. Its argument is the crossplane binary.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/crossplane/crossplane/v2/proto/render/v1alpha1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: crossplane-render <crossplane binary>, a RenderRequest as JSON on standard input")
		os.Exit(64)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "crossplane-render:", err)
		os.Exit(1)
	}
}

func run(crossplane string, in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("cannot read request: %w", err)
	}
	request := &v1alpha1.RenderRequest{}
	if err := protojson.Unmarshal(text, request); err != nil {
		return fmt.Errorf("cannot parse request: %w", err)
	}
	message, err := proto.Marshal(request)
	if err != nil {
		return fmt.Errorf("cannot encode request: %w", err)
	}
	cmd := exec.Command(crossplane, "internal", "render")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(message), os.Stderr
	// A pipeline that ends fatally answers in part and exits with 3: as much a failure as any.
	answer, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("cannot run %q: %w", crossplane, err)
	}
	response := &v1alpha1.RenderResponse{}
	if err := proto.Unmarshal(answer, response); err != nil {
		return fmt.Errorf("cannot decode response: %w", err)
	}
	text, err = protojson.Marshal(response)
	if err != nil {
		return fmt.Errorf("cannot encode response: %w", err)
	}
	_, err = out.Write(text)
	return err
}
