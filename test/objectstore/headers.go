package objectstore

import "net/http"

// forgotten are headers of objects that real object stores keep, and gofakes3 does not.
var forgotten = []string{"Cache-Control", "Content-Language", "Expires"}

// keptAs begins names that gofakes3 keeps.
const keptAs = "X-Amz-Kept-"

// withHeaders has gofakes3 keep the headers of objects as versitygw does.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range forgotten {
			if value, ok := r.Header[name]; ok {
				r.Header[keptAs+name] = value
			}
		}
		k := &keeper{ResponseWriter: w}
		next.ServeHTTP(k, r)
		k.tell()
	})
}

// keeper gives headers their names back before an answer is sent.
type keeper struct{ http.ResponseWriter }

func (k *keeper) tell() {
	for _, name := range forgotten {
		if value, ok := k.Header()[keptAs+name]; ok {
			k.Header()[name] = value
			k.Header().Del(keptAs + name)
		}
	}
}

// WriteHeader implements http.ResponseWriter.
func (k *keeper) WriteHeader(status int) {
	k.tell()
	k.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (k *keeper) Write(p []byte) (int, error) {
	k.tell()
	return k.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (k *keeper) Unwrap() http.ResponseWriter { return k.ResponseWriter }
