// Command objectstore is an object store in memory for the demo. It speaks S3 over HTTP, has
// one bucket, and checks no signature. It writes its URL to a file, and runs until it is
// interrupted.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func main() {
	bucket := flag.String("bucket", "backups", "name of its bucket")
	file := flag.String("url", "", "file to write its URL to")
	flag.Parse()
	if err := serve(*bucket, *file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(bucket, file string) error {
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		return fmt.Errorf("cannot make bucket %q: %w", bucket, err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	// The URL is there once requests are taken.
	if err := os.WriteFile(file+".partial", fmt.Appendf(nil, "http://%s\n", listener.Addr()), 0o600); err != nil {
		return fmt.Errorf("cannot write the URL: %w", err)
	}
	if err := os.Rename(file+".partial", file); err != nil {
		return fmt.Errorf("cannot write the URL: %w", err)
	}
	server := &http.Server{Handler: gofakes3.New(backend).Server(), ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}
