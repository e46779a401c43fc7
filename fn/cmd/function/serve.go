package main

import (
	"os"
	"runtime/debug"

	sdk "github.com/crossplane/function-sdk-go"
	"google.golang.org/grpc/encoding"

	"threescale.dev/backup/fn/cmd/internal/memory"
	"threescale.dev/backup/fn/function"
)

const (
	// enough is the memory in bytes from which on the garbage collector works harder. What calls hold is
	// far less; with what the kernel maps of the program, the process stays below 64 MiB. If they hold
	// more, collecting takes at most half of the time.
	enough = 36 << 20
	// garbage is how much there may be before it is collected while there is less than enough, in percent
	// of what is held. The program itself holds as much as some calls: with Go's own 100, a quarter of what
	// a call cost was collecting.
	garbage = 400
)

// serveCommand takes the flags that all functions have.
type serveCommand struct {
	Debug              bool   `short:"d" help:"Emit debug logs in addition to info logs."`
	Network            string `help:"Network on which to listen for gRPC connections." default:"tcp"`
	Address            string `help:"Address at which to listen for gRPC connections." default:":9443"`
	TLSCertsDir        string `help:"Directory with the server's certificate and key (tls.crt, tls.key) and the CA of its clients (ca.crt)." env:"TLS_SERVER_CERTS_DIR" name:"tls-server-certs-dir"`
	Insecure           bool   `help:"Run without mTLS credentials, to render: the pipeline's context may set the clock. If you supply this flag --tls-server-certs-dir will be ignored."`
	MaxRecvMessageSize int    `help:"Maximum size of received messages in MB." default:"16"`
	MetricsAddress     string `help:"Address at which to serve metrics; empty for none." default:":8080"`
}

// Run serves until the process ends.
func (c *serveCommand) Run() error {
	if limit := memory.Limit(); limit > enough && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(enough)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	log, err := sdk.NewLogger(c.Debug)
	if err != nil {
		return err
	}
	encoding.RegisterCodecV2(function.NewCodec())
	f := function.New(log)
	f.Rendering = c.Insecure // core always has mTLS
	return sdk.Serve(f,
		sdk.Listen(c.Network, c.Address),
		sdk.MTLSCertificates(c.TLSCertsDir),
		sdk.Insecure(c.Insecure),
		sdk.MaxRecvMessageSize(c.MaxRecvMessageSize<<20),
		sdk.WithMetricsServer(c.MetricsAddress))
}
