// Command probe is what the cluster's own tests run in a pod. "probe job FILE"
// writes the file and calls the API server; "probe stat FILE" prints the file's
// owner; "probe wait" does nothing until it is told to end.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "job":
		if err := os.WriteFile(args[1], []byte("written by the probe\n"), 0o600); err != nil {
			return err
		}
		return callAPI()
	case len(args) == 2 && args[0] == "stat":
		return printOwner(args[1])
	case len(args) == 1 && args[0] == "wait":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
		return nil
	}
	return fmt.Errorf("cannot run: unknown arguments %q", args)
}

func printOwner(path string) error {
	var stat syscall.Stat_t
	if err := syscall.Stat(path, &stat); err != nil {
		return err
	}
	fmt.Printf("process %d:%d file %d:%d mode %o\n", os.Getuid(), os.Getgid(), stat.Uid, stat.Gid, stat.Mode&0o7777)
	return nil
}

// callAPI asks the API server who we are, with the token of the pod's
// ServiceAccount.
func callAPI() error {
	ca, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return err
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
	}
	url := "https://" + os.Getenv("KUBERNETES_SERVICE_HOST") + ":" + os.Getenv("KUBERNETES_SERVICE_PORT") + "/api"
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	fmt.Printf("%s: %s\n", url, response.Status)
	return errors.Join(err, response.Body.Close())
}
