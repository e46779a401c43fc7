package gitserver

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

// What a process is told that serves alone.
const (
	addressVariable  = "GITSERVER_ADDRESS"
	folderVariable   = "GITSERVER_FOLDER"
	passwordVariable = "GITSERVER_PASSWORD"
)

// Alone is the environment in which a program that calls [ServeAlone] serves the
// same repositories by HTTP at the address, to the same user: a process that a
// test can kill.
func (s *Server) Alone(address string) []string {
	return []string{addressVariable + "=" + address, folderVariable + "=" + s.dir, passwordVariable + "=" + s.password}
}

// ServeAlone reports whether the environment is that of [Server.Alone]. If so, it
// serves until the process ends, or returns why it cannot.
func ServeAlone() (asked bool, err error) {
	address := os.Getenv(addressVariable)
	if address == "" {
		return false, nil
	}
	s := &Server{dir: os.Getenv(folderVariable), username: user, password: os.Getenv(passwordVariable)}
	server := &http.Server{Addr: address, Handler: s.backend(nil), ReadHeaderTimeout: time.Minute}
	return true, fmt.Errorf("cannot serve repositories: %w", server.ListenAndServe())
}

// HTTPAt is the URL without credentials at the address of a process that serves alone.
func (r *Repository) HTTPAt(address string) string {
	return "http://" + address + "/" + r.name + ".git"
}
