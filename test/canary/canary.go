// Package canary makes malformed Secrets, each with a text in it that may be nowhere else.
package canary

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Text is what no message may hold.
const Text = "C4n4ryOfASecretValue"

// A Case is a malformed Secret.
type Case struct {
	Name string
	Data map[string][]byte
}

// Cases are all of a kind of Secret whose well-formed data are given: in each, one of its keys, or one of those beside, has the text in one
// of the forms in which somebody gets such a value wrong.
func Cases(data map[string][]byte, beside ...string) []Case {
	var out []Case
	for _, key := range slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Keys(data)), beside))) {
		for name, form := range forms(string(data[key])) {
			changed := maps.Clone(data)
			changed[key] = []byte(form)
			out = append(out, Case{key + "/" + name, changed})
		}
	}
	return out
}

// forms are ways to get a value wrong.
func forms(good string) map[string]string {
	half := good[:len(good)/2]
	return map[string]string{
		"Bare":      Text,
		"Lines":     "first\n" + Text + "\nthird\r\n",
		"Control":   "\x00\x1b[31m" + Text + "\x7f",
		"Space":     " " + Text + " ",
		"Behind":    good + Text,
		"Before":    Text + good,
		"Cut":       half + Text,
		"Within":    half + "\n" + Text + "\n" + good[len(half):],
		"PEM":       "-----BEGIN " + Text + "-----\n" + base64.StdEncoding.EncodeToString([]byte(Text)) + "\n-----END " + Text + "-----\n",
		"Key":       "-----BEGIN OPENSSH PRIVATE KEY-----\n" + Text + "\n-----END OPENSSH PRIVATE KEY-----\n",
		"Cert":      "-----BEGIN CERTIFICATE-----\n" + base64.StdEncoding.EncodeToString([]byte(Text)) + "\n-----END CERTIFICATE-----\n",
		"PGP":       "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n" + Text + "\n-----END PGP PRIVATE KEY BLOCK-----\n",
		"HostKey":   "127.0.0.1 ssh-ed25519 " + Text,
		"Host":      Text + " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + Text,
		"Marker":    "@" + Text + " 127.0.0.1 ssh-rsa AAAA",
		"URL":       "http://user:" + Text + "@127.0.0.1:1",
		"URLHost":   "http://" + Text + ".invalid:3128",
		"URLPort":   "http://127.0.0.1:" + Text,
		"URLBroken": "http://user:" + Text + "@[::1",
		"URLEscape": "http://user:" + Text + "%zz@127.0.0.1:1",
		"URLSpace":  "http://us er:" + Text + "@127.0.0.1:1",
		"URLScheme": "ftp://user:" + Text + "@127.0.0.1:1",
		"URLNone":   "user:" + Text + "@127.0.0.1:1",
		"URLSocks":  "socks5://user:" + Text + "@127.0.0.1:1",
		"JSON":      `{"key": "` + Text + `"`,
		"Number":    "12" + Text,
		"Long":      strings.Repeat(Text, 200),
	}
}

// Found returns the first form in which a message holds the text, or "".
func Found(message string) string {
	folded := strings.ToLower(message)
	for _, form := range []string{
		Text, base64.StdEncoding.EncodeToString([]byte(Text))[:16], base64.RawURLEncoding.EncodeToString([]byte("user:" + Text))[:16], url.QueryEscape(Text), fmt.Sprintf("%x", Text), Text[:12],
	} {
		if strings.Contains(folded, strings.ToLower(form)) {
			return form
		}
	}
	return ""
}
