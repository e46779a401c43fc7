package main

import (
	sdk "github.com/crossplane/function-sdk-go"

	"threescale.dev/backup/fn/cmd/internal/memory"
	"threescale.dev/backup/fn/function"
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
	memory.Limit()
	log, err := sdk.NewLogger(c.Debug)
	if err != nil {
		return err
	}
	f := function.New(log)
	f.Rendering = c.Insecure // core always has mTLS
	return sdk.Serve(f,
		sdk.Listen(c.Network, c.Address),
		sdk.MTLSCertificates(c.TLSCertsDir),
		sdk.Insecure(c.Insecure),
		sdk.MaxRecvMessageSize(c.MaxRecvMessageSize<<20),
		sdk.WithMetricsServer(c.MetricsAddress))
}
