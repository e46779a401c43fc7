package gitserver

import (
	"bytes"
	"crypto/subtle"
	"io"
	"net/http"
	"net/http/cgi"
	"os/exec"
)

// backend serves HTTP by git's own http-backend instead of gitkit, which mixes
// what a hook prints into the answer, so that a client sees a broken protocol
// where any other server refuses with words.
func (s *Server) backend(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		username, password, _ := r.BasicAuth()
		if username != s.username || subtle.ConstantTimeCompare([]byte(password), []byte(s.password)) == 0 {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		git, err := exec.LookPath("git")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		// A push has no length, and CGI asks for one.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		handler := cgi.Handler{
			Path: git, Args: []string{"http-backend"}, Dir: s.root(), Root: "/", Stderr: io.Discard,
			Env: append(s.isolated(), "GIT_PROJECT_ROOT="+s.root(), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER="+username),
		}
		handler.ServeHTTP(w, r)
	})
}

// isolated is an environment without the user's and the machine's configuration
// of git.
func (s *Server) isolated() []string {
	return []string{"HOME=" + s.home(), "XDG_CONFIG_HOME=" + s.home(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C"}
}
