package threescale_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

const newDomain = "apps.other.example.org"

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// routeEndpoint makes an installation whose backend-listener holds an address,
// and returns what a rewriting makes of it.
func routeEndpoint(t *testing.T, from, to, address string) (string, threescale.Rewriting) {
	t.Helper()
	objects := objectsOf(
		map[string]any{"kind": "Secret", "metadata": map[string]any{"name": "backend-listener"}, "data": map[string]any{"route_endpoint": b64(address)}},
		map[string]any{"kind": "APIManager", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"wildcardDomain": from}},
	)
	r, err := threescale.RewriteDomain(objects, to)
	require.NoError(t, err)
	assert.Equal(t, b64(address), objects[0].Object["data"].(map[string]any)["route_endpoint"], "the argument must not change")
	got, err := base64.StdEncoding.DecodeString(r.Objects[0].Object["data"].(map[string]any)["route_endpoint"].(string))
	require.NoError(t, err)
	return string(got), r
}

func TestRewriteHost(t *testing.T) {
	const from = "apps.example.com"
	cases := map[string]struct{ reason, address, want string }{
		"Domain":          {"the domain itself", "apps.example.com", "apps.other.example.org"},
		"Host":            {"a name below it", "master.apps.example.com", "master.apps.other.example.org"},
		"DeepHost":        {"a name far below it", "a.b.apps.example.com", "a.b.apps.other.example.org"},
		"URL":             {"the operator's own form", "https://backend-3scale.apps.example.com", "https://backend-3scale.apps.other.example.org"},
		"Everything":      {"only the host changes", "https://u:p@a.apps.example.com:8443/x?y=apps.example.com#z", "https://u:p@a.apps.other.example.org:8443/x?y=apps.example.com#z"},
		"UserIsAnAddress": {"the last at sign ends the user", "https://a@apps.example.com:p@apps.example.com/", "https://a@apps.example.com:p@apps.other.example.org/"},
		"Port":            {"a host may have a port", "apps.example.com:443", "apps.other.example.org:443"},
		"Root":            {"DNS names may end with a dot", "a.apps.example.com.", "a.apps.other.example.org."},
		"Case":            {"DNS knows no case", "https://A.Apps.Example.COM", "https://A.apps.other.example.org"},
		"WhiteSpace":      {"a Secret made with echo ends with a line feed", " https://apps.example.com \n", " https://apps.other.example.org \n"},
		"PartOfLabel":     {"another domain", "https://myapps.example.com", ""},
		"Hyphen":          {"another domain", "https://my-apps.example.com", ""},
		"Longer":          {"another domain", "https://apps.example.com.evil.example.net", ""},
		"LongerLabel":     {"another domain", "https://apps.example.community", ""},
		"Parent":          {"another domain", "https://example.com", ""},
		"InPath":          {"no host", "https://example.net/apps.example.com", ""},
		"InQuery":         {"no host", "https://example.net?apps.example.com", ""},
		"InUser":          {"no host", "https://apps.example.com@example.net", ""},
		"List":            {"no host", "apps.example.com,b.apps.example.com,x", ""},
		"ServiceName":     {"a name within the cluster", "http://backend-listener:3000", ""},
		"Master":          {"a label and no host name", "master", ""},
		"IPv6":            {"an address", "https://[2001:db8::1]:443/", ""},
		"Empty":           {"nothing", "", ""},
		"Odd":             {"nothing", "://", ""},
		"DotAbove":        {"an empty label is not the operator's, but it is below", ".apps.example.com", ".apps.other.example.org"},
		"Binary":          {"bytes stay bytes", "\xff\xfe.apps.example.com", "\xff\xfe.apps.other.example.org"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, r := routeEndpoint(t, from, newDomain, tc.address)
			places := []threescale.Place{{Kind: "APIManager", Name: "x", Field: "spec.wildcardDomain"}}
			if tc.want == "" {
				assert.Equal(t, tc.address, got, tc.reason)
				assert.Equal(t, places, r.Rewritten)
				return
			}
			assert.Equal(t, tc.want, got, tc.reason)
			assert.Equal(t, append(places, threescale.Place{Kind: "Secret", Name: "backend-listener", Field: "data.route_endpoint"}), r.Rewritten)
			assert.Empty(t, r.Left)
		})
	}
}

// TestRewriteDomain: all places of a whole installation, and nothing else.
func TestRewriteDomain(t *testing.T) {
	objects := dataset.Installation(dataset.Options{})
	seed := find(t, objects, "Secret", "system-seed").Object["data"].(map[string]any)
	seed["MASTER_DOMAIN"] = b64("master.apps.example.com")
	find(t, objects, "Secret", "system-smtp").Object["data"].(map[string]any)["from_address"] = b64("no-reply@apps.example.com")
	find(t, objects, "ConfigMap", "system-environment").Object["data"].(map[string]any)["NOTE"] = "see wiki.Apps.example.com."
	production := find(t, objects, "APIManager", "example").Object["spec"].(map[string]any)["apicast"].(map[string]any)["productionSpec"].(map[string]any)
	production["noProxy"] = "localhost,apps.example.com"
	production["list"] = []any{"x", map[string]any{"host": "apps.example.com"}, 1.5}

	r, err := threescale.RewriteDomain(objects, newDomain)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"APIManager example spec.wildcardDomain", "ConfigMap system-environment data.THREESCALE_SUPERDOMAIN",
		"Secret backend-listener data.route_endpoint", "Secret system-seed data.MASTER_DOMAIN",
	}, texts(r.Rewritten))
	assert.Equal(t, []string{
		"APIManager example spec.apicast.productionSpec.list[1].host", "APIManager example spec.apicast.productionSpec.noProxy",
		"ConfigMap system-environment data.NOTE", "Secret system-smtp data.from_address",
	}, texts(r.Left))

	// Undone by hand, nothing else has changed.
	find(t, r.Objects, "APIManager", "example").Object["spec"].(map[string]any)["wildcardDomain"] = "apps.example.com"
	data := find(t, r.Objects, "ConfigMap", "system-environment").Object["data"].(map[string]any)
	assert.Equal(t, newDomain, data["THREESCALE_SUPERDOMAIN"])
	data["THREESCALE_SUPERDOMAIN"] = "apps.example.com"
	data = find(t, r.Objects, "Secret", "backend-listener").Object["data"].(map[string]any)
	assert.Equal(t, b64("https://backend-3scale."+newDomain), data["route_endpoint"])
	data["route_endpoint"] = b64("https://backend-3scale.apps.example.com")
	data = find(t, r.Objects, "Secret", "system-seed").Object["data"].(map[string]any)
	assert.Equal(t, b64("master."+newDomain), data["MASTER_DOMAIN"])
	data["MASTER_DOMAIN"] = seed["MASTER_DOMAIN"]
	assert.Equal(t, objects, r.Objects)
}

func TestRewriteDomainAgain(t *testing.T) {
	objects := dataset.Installation(dataset.Options{})
	for name, domain := range map[string]string{"keeps": "", "same": "apps.example.com"} {
		r, err := threescale.RewriteDomain(objects, domain)
		require.NoError(t, err, name)
		assert.Equal(t, threescale.Rewriting{Objects: objects}, r, name)
	}
	below, err := threescale.RewriteDomain(objects, "new.apps.example.com")
	require.NoError(t, err)
	again, err := threescale.RewriteDomain(below.Objects, "new.apps.example.com")
	require.NoError(t, err)
	assert.Equal(t, below.Objects, again.Objects, "a new domain below the old one is not rewritten twice")
	back, err := threescale.RewriteDomain(below.Objects, "apps.example.com")
	require.NoError(t, err)
	assert.Equal(t, objects, back.Objects, "the way back")
	assert.Equal(t, below.Rewritten, back.Rewritten)
}

func TestRewriteDomainErrors(t *testing.T) {
	manager := map[string]any{"kind": "APIManager", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"wildcardDomain": "a.b"}}
	broken := map[string]any{"kind": "Secret", "metadata": map[string]any{"name": "x"}, "data": map[string]any{"k": "!" + dataset.SecretMarker}}
	cases := map[string]struct {
		reason  string
		objects []*unstructured.Unstructured
		domain  string
		want    string
	}{
		"NoAPIManager": {"nothing tells the old domain", nil, newDomain, "there is no APIManager"},
		"URL":          {"a domain is no URL", objectsOf(manager), "https://a.b", "not a DNS name"},
		"UpperCase":    {"the operator makes names of Routes of it", objectsOf(manager), "Apps.example.org", "not a DNS name"},
		"NotBase64":    {"a Secret holds base64", objectsOf(manager, broken), newDomain, `cannot read Secret "x": data.k is not base64`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := threescale.RewriteDomain(tc.objects, tc.domain)
			require.ErrorContains(t, err, tc.want, tc.reason)
			assert.NotContains(t, err.Error(), dataset.SecretMarker)
		})
	}
}

// TestRewriteDomainOdd: an APIManager that names no domain, or has no spec, gets
// the new one; objects of odd shapes are left alone.
func TestRewriteDomainOdd(t *testing.T) {
	for name, spec := range map[string]any{"Empty": map[string]any{}, "None": nil, "Text": "x", "Number": map[string]any{"wildcardDomain": 1.5}} {
		objects := objectsOf(
			map[string]any{"kind": "APIManager", "spec": spec},
			map[string]any{"kind": "Secret", "metadata": map[string]any{"name": "backend-listener"}, "data": map[string]any{"route_endpoint": b64("https://a.b")}},
			map[string]any{"kind": "ConfigMap", "data": "x"}, map[string]any{"kind": "Secret"}, map[string]any{}, map[string]any{"kind": 1.5},
		)
		r, err := threescale.RewriteDomain(objects, newDomain)
		require.NoError(t, err, name)
		assert.Equal(t, newDomain, threescale.WildcardDomain(r.Objects[0]), name)
		assert.Equal(t, objects[1:], r.Objects[1:], name)
		assert.Len(t, r.Rewritten, 1)
	}
}

// TestLeft: what else holds the old domain is listed when it is a whole name.
func TestLeft(t *testing.T) {
	cases := map[string]struct {
		text string
		left bool
	}{
		"Alone": {"apps.example.com", true}, "Below": {"x.apps.example.com", true}, "Case": {"X.APPS.example.com", true}, "Mail": {"a@apps.example.com", true},
		"Sentence": {"See apps.example.com.", true}, "Quoted": {`"apps.example.com"`, true}, "Second": {"myapps.example.com apps.example.com", true},
		"Label": {"myapps.example.com", false}, "Hyphen": {"my-apps.example.com", false}, "Longer": {"apps.example.community", false},
		"LongerDomain": {"apps.example.com.net", false}, "Parent": {"example.com", false}, "None": {"", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := threescale.RewriteDomain(objectsOf(
				map[string]any{"kind": "APIManager", "spec": map[string]any{"wildcardDomain": "apps.example.com"}},
				map[string]any{"kind": "Secret", "metadata": map[string]any{"name": "x"}, "data": map[string]any{"k": b64(tc.text)}},
			), newDomain)
			require.NoError(t, err)
			assert.Equal(t, tc.left, slices.Contains(texts(r.Left), "Secret x data.k"))
			assert.Equal(t, b64(tc.text), r.Objects[1].Object["data"].(map[string]any)["k"])
		})
	}
}

// FuzzRewriteDomain compares with a plain reading of the rule, label by label.
func FuzzRewriteDomain(f *testing.F) {
	for _, host := range []string{
		"backend-3scale.apps.example.com", "apps.example.com", "APPS.example.com.", "myapps.example.com", "apps.example.com.net", "", ".", "..apps.example.com",
		"x@apps.example.com", "apps.example.com:80", "[::1]", "\xff.apps.example.com", "a b.apps.example.com\n",
	} {
		f.Add(host, "apps.example.com", "apps.other.example.org")
		f.Add("https://"+host+"/path", "example.com", "a")
	}
	f.Add("x", "", "a")
	f.Add("k.ſ", "s", "a")
	f.Fuzz(func(t *testing.T, address, from, to string) {
		objects := objectsOf(
			map[string]any{"kind": "Secret", "metadata": map[string]any{"name": "backend-listener"}, "data": map[string]any{"route_endpoint": b64(address)}},
			map[string]any{"kind": "APIManager", "spec": map[string]any{"wildcardDomain": from}},
		)
		r, err := threescale.RewriteDomain(objects, to)
		if err != nil || len(r.Rewritten) < 2 {
			if err == nil {
				assert.Equal(t, objects[0], r.Objects[0], "what is not listed has not changed")
			}
			return
		}
		encoded, _ := r.Objects[0].Object["data"].(map[string]any)["route_endpoint"].(string)
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		require.NoError(t, err)
		got := string(decoded)
		// The old domain was replaced once, and it was a host's last labels.
		start := 0
		for start < len(address) && start < len(got) && strings.HasPrefix(got, address[:start+1]) {
			start++
		}
		replaced := false
		for cut := start; cut >= 0 && !replaced; cut-- {
			after := cut + len(from)
			if after > len(address) || !strings.EqualFold(address[cut:after], from) || got != address[:cut]+to+address[after:] {
				continue
			}
			boundary := cut == 0 || strings.ContainsRune("./@ \t\r\n", rune(address[cut-1]))
			end := strings.TrimPrefix(address[after:], ".")
			replaced = boundary && (end == "" || strings.ContainsRune(":/?# \t\r\n", rune(end[0])))
		}
		assert.True(t, replaced, "%q -> %q", address, got)
	})
}

func texts(places []threescale.Place) []string {
	var out []string
	for _, place := range places {
		out = append(out, fmt.Sprint(place))
	}
	return out
}

func objectsOf(objects ...map[string]any) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, object := range objects {
		out = append(out, &unstructured.Unstructured{Object: object})
	}
	return out
}

func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	require.FailNow(t, "there is no such object", "%s %s", kind, name)
	return nil
}
