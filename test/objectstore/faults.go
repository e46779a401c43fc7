package objectstore

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Faults is between clients and an object store. It passes requests on until
// it is told what goes wrong.
type Faults struct {
	mu    sync.Mutex
	rules []*rule
	ended chan struct{}
	once  sync.Once
}

// NewFaults returns one that lets everything pass.
func NewFaults() *Faults { return &Faults{ended: make(chan struct{})} }

// Fault is what happens to a request in place of what should.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Match says to which requests a fault happens.
type Match func(*http.Request) bool

type rule struct {
	match Match
	fault Fault
	left  int       // requests; negative: any number
	until time.Time // zero: for ever
}

// Times has a fault happen to the next n requests that match.
func (f *Faults) Times(n int, match Match, fault Fault) {
	f.add(&rule{match: match, fault: fault, left: n})
}

// Always has a fault happen to all requests that match, until Clear.
func (f *Faults) Always(match Match, fault Fault) { f.Times(-1, match, fault) }

// For has a fault happen to all requests that match, for so long.
func (f *Faults) For(d time.Duration, match Match, fault Fault) {
	f.add(&rule{match: match, fault: fault, left: -1, until: time.Now().Add(d)})
}

// Clear lets everything pass again. Requests that hang go on hanging.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

func (f *Faults) add(r *rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, r)
}

func (f *Faults) end() {
	if f != nil {
		f.once.Do(func() { close(f.ended) })
	}
}

// next is the first fault for a request, nil if there is none.
func (f *Faults) next(r *http.Request) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rule := range f.rules {
		spent := rule.left == 0 || !rule.until.IsZero() && time.Now().After(rule.until)
		if !spent && rule.match(r) {
			rule.left--
			return rule.fault
		}
	}
	return nil
}

func (f *Faults) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault := f.next(r); fault != nil {
			fault(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Any matches all requests.
func Any(*http.Request) bool { return true }

// Method matches requests of a method.
func Method(method string) Match {
	return func(r *http.Request) bool { return r.Method == method }
}

// Key matches requests of a method for an object whose key ends so.
func Key(method, suffix string) Match {
	return func(r *http.Request) bool { return r.Method == method && strings.HasSuffix(r.URL.Path, suffix) }
}

// Deletes matches requests that delete objects.
func Deletes(r *http.Request) bool {
	return r.Method == http.MethodDelete && !r.URL.Query().Has("uploadId") || r.Method == http.MethodPost && r.URL.Query().Has("delete")
}

// Answer answers with an error of S3. Some codes with their status:
// SlowDown 503, TooManyRequests 429, InternalError 500, NoSuchKey 404 (a lost
// object), AccessDenied 403, RequestTimeTooSkewed 403, QuotaExceeded 403.
func Answer(status int, code string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "%s<Error><Code>%s</Code><Message>as the test wants</Message></Error>", xml.Header, code)
		}
	}
}

// Status answers with a status and no error of S3, as a proxy does.
func Status(status int) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		http.Error(w, "<html>\n<h1>"+http.StatusText(status)+"</h1>\n</html>", status)
	}
}

// EndAfter ends the connection after n bytes of the answer's body, whose header
// promises all of it.
func EndAfter(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := record(r, next)
		send(w, answer, answer.Body.Bytes()[:min(n, answer.Body.Len())])
		panic(http.ErrAbortHandler)
	}
}

// Disconnect ends the connection without an answer, and without a request to
// the object store.
func Disconnect(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// LoseAnswer ends the connection when the object store did what was asked.
func LoseAnswer(_ http.ResponseWriter, r *http.Request, next http.Handler) {
	record(r, next)
	panic(http.ErrAbortHandler)
}

// Truncate cuts the answer's body to n bytes, and its header says so: only who
// knows the size sees that something is missing.
func Truncate(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := record(r, next)
		body := answer.Body.Bytes()[:min(n, answer.Body.Len())]
		answer.Header().Set("Content-Length", fmt.Sprint(len(body)))
		send(w, answer, body)
	}
}

// Headers changes the header of the answer.
func Headers(change func(http.Header)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := record(r, next)
		change(answer.Header())
		send(w, answer, answer.Body.Bytes())
	}
}

// Flip changes one byte of the answer's body.
func Flip(at int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := record(r, next)
		body := answer.Body.Bytes()
		if at < len(body) {
			body[at] ^= 1
		}
		send(w, answer, body)
	}
}

// FlipRequest changes one byte of the request's body on its way. The stand-in
// does not see it.
func FlipRequest(at int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if at < len(body) {
			body[at] ^= 1
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}
}

// Delay waits before a request is passed on.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// Hang never answers.
func (f *Faults) Hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the connection end
	select {
	case <-r.Context().Done():
	case <-f.ended:
	}
	panic(http.ErrAbortHandler)
}

// RefuseDeletes answers deletions as a bucket does whose policy does not allow
// them: a request for many objects succeeds, and each is refused in its answer.
func RefuseDeletes(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.Method != http.MethodPost {
		Answer(http.StatusForbidden, "AccessDenied")(w, r, next)
		return
	}
	var request struct {
		Keys []string `xml:"Object>Key"`
	}
	if err := xml.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	type refusal struct{ Key, Code, Message string }
	var answer struct {
		XMLName xml.Name  `xml:"DeleteResult"`
		Error   []refusal `xml:"Error"`
	}
	for _, key := range request.Keys {
		answer.Error = append(answer.Error, refusal{Key: key, Code: "AccessDenied", Message: "Access Denied."})
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(answer) //nolint:musttag // the fields are named as S3 names them
}

func record(r *http.Request, next http.Handler) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	return answer
}

func send(w http.ResponseWriter, answer *httptest.ResponseRecorder, body []byte) {
	maps.Copy(w.Header(), answer.Header())
	if w.Header().Get("Content-Length") == "" {
		w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body)
	_ = http.NewResponseController(w).Flush()
}
