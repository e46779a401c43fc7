package s3

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"golang.org/x/net/http/httpguts"
)

// Headers are what the writer of an object said about it, and its readers are told: Content-Type and the like, and
// X-Amz-Meta-*, by their canonical names.
type Headers map[string]string

const metaPrefix = "X-Amz-Meta-"

// isKept reports whether a header, by its canonical name, is of the object and not of the answer.
func isKept(name string) bool {
	switch name {
	case "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", expires:
		return true
	}
	return strings.HasPrefix(name, metaPrefix) && name != metaPrefix
}

// headersOf takes those of an object from an answer.
func headersOf(answer http.Header) Headers {
	h := Headers{}
	for name, values := range answer {
		if name == hiddenExpires {
			name = expires
		}
		if !isKept(name) || len(values) == 0 {
			continue
		}
		value := values[0]
		if name == "Content-Encoding" {
			value = withoutChunks(value)
		}
		if value = decodeWords(value); value != "" && httpguts.ValidHeaderFieldValue(value) {
			h[name] = value
		}
	}
	return h
}

// withoutChunks drops what is no encoding of the object: how it was sent, which some object stores keep.
func withoutChunks(encoding string) string {
	words := strings.Split(encoding, ",")
	words = slices.DeleteFunc(words, func(word string) bool { return strings.TrimSpace(word) == "aws-chunked" })
	return strings.TrimSpace(strings.Join(words, ","))
}

// decodeWords decodes text that is not ASCII (RFC 2047), as object stores return it.
func decodeWords(value string) string {
	if decoded, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
		return decoded
	}
	return value
}

// Same reports whether an object that was sent with these headers may be told of with those: object stores write some in
// their own way, and fill in what the sender left open.
func (h Headers) Same(told Headers) bool {
	for name := range told {
		if _, sent := h[name]; !sent && !isFilledIn(name) {
			return false
		}
	}
	for name, value := range h {
		if name == expires && strings.Contains(meaning("Cache-Control", h["Cache-Control"]), "max-age=") {
			continue // beside it, it means nothing (RFC 9111, 5.3)
		}
		if meaning(name, value) != meaning(name, told[name]) {
			return false
		}
	}
	return true
}

// isFilledIn reports whether answers have a header also of an object that was sent without it.
func isFilledIn(name string) bool {
	return name == "Content-Type" || name == "Cache-Control" || name == expires
}

// meaning returns what all ways to write a value have in common.
func meaning(name, value string) string {
	switch name {
	case "Cache-Control", "Content-Encoding", "Content-Language", "Content-Type":
		return strings.ToLower(strings.Join(strings.Fields(value), ""))
	case expires:
		until, err := http.ParseTime(value)
		if value != "" && err != nil {
			return "over" // RFC 9111, 5.3
		}
		return until.UTC().String()
	}
	return strings.TrimSpace(value)
}

func (h Headers) apply(opts *minio.PutObjectOptions) {
	for name, value := range h {
		switch name {
		case "Cache-Control":
			opts.CacheControl = value
		case "Content-Disposition":
			opts.ContentDisposition = value
		case "Content-Encoding":
			opts.ContentEncoding = value
		case "Content-Language":
			opts.ContentLanguage = value
		case "Content-Type":
			opts.ContentType = value
		case expires: // see sent
		default:
			if opts.UserMetadata == nil {
				opts.UserMetadata = make(map[string]string)
			}
			opts.UserMetadata[name] = mime.BEncoding.Encode("UTF-8", value)
		}
	}
}

// Expires may be anything: many a writer says 0 or -1. minio-go takes an answer for an error unless it is a time, and sends
// nothing else. So it passes minio-go by.
const (
	expires       = "Expires"
	hiddenExpires = "X-Hidden-Expires"
)

type expiresKey struct{}

// sent returns a context whose requests that write have those headers that minio-go cannot send.
func (h Headers) sent(ctx context.Context) context.Context {
	if value := h[expires]; value != "" {
		return context.WithValue(ctx, expiresKey{}, value)
	}
	return ctx
}

// withExpires adds the header, which no signature has to cover.
func withExpires(r *http.Request) *http.Request {
	value, ok := r.Context().Value(expiresKey{}).(string)
	if !ok || r.Method != http.MethodPut && r.Method != http.MethodPost {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set(expires, value)
	return r
}

func hideExpires(answer http.Header) {
	answer.Del(hiddenExpires)
	if values, ok := answer[expires]; ok {
		answer[hiddenExpires] = values
		answer.Del(expires)
	}
}

// Encode returns the headers as text: a line each, sorted by name.
func (h Headers) Encode() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(&b, "%s: %s\n", name, h[name])
	}
	return b.String()
}

// DecodeHeaders reverses Headers.Encode, and accepts nothing that it does not write.
func DecodeHeaders(text string) (Headers, error) {
	h := Headers{}
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !found || !isKept(name) || value == "" || http.CanonicalHeaderKey(name) != name || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errors.New("cannot read headers of an object: not a name, a colon and a value")
		}
		h[name] = value
	}
	if h.Encode() != text {
		return nil, errors.New("cannot read headers of an object: they are not sorted, or not in canonical form")
	}
	return h, nil
}
