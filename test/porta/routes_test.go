package porta

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation"
)

// TestRoutes: the hosts are those of the database's domain, and each Route is
// found again by its labels.
func TestRoutes(t *testing.T) {
	owner := newObject(deploymentConfigKind())
	owner.SetNamespace("3scale")
	owner.SetName(zyncQue)
	owner.SetUID("1")
	owner.SetLabels(map[string]string{"threescale_component_element": "zync-que"})
	d := &Database{domain: "example.com", tenant: "3scale", master: "master"}
	var hosts []string
	found := map[[3]string]bool{}
	for _, r := range d.routes() {
		hosts = append(hosts, r.host)
		object := r.object(owner)
		labels := object.GetLabels()
		found[[3]string{labels["3scale.net/tenant_id"], labels["zync.3scale.net/record"], labels["zync.3scale.net/route-to"]}] = true
		assert.Equal(t, "zync-que", labels["threescale_component_element"], "those of its owner")
		for key, value := range labels {
			assert.Empty(t, validation.IsValidLabelValue(value), key)
		}
		assert.Equal(t, "DeploymentConfig", object.GetOwnerReferences()[0].Kind)
		assert.Nil(t, object.GetOwnerReferences()[0].Controller)
	}
	assert.ElementsMatch(t, []string{
		"master.example.com", "3scale.example.com", "3scale-admin.example.com",
		"api-3scale-apicast-production.example.com", "api-3scale-apicast-staging.example.com",
	}, hosts)
	assert.Len(t, found, len(hosts))
}

func TestSeedOnce(t *testing.T) {
	d := &Database{}
	assert.True(t, d.seed("a.example.com", "3scale", "master"))
	assert.False(t, d.seed("b.example.com", "3scale", "master"))
	assert.Equal(t, "a.example.com", d.Domain(), "a later installation finds the tenants that there are")
	d.SetDomain("b.example.com")
	assert.Equal(t, "b.example.com", d.Domain())
}

func TestJobs(t *testing.T) {
	accepts := make(chan struct{})
	close(accepts)
	d := &Database{namespaces: map[string]bool{"a": false}, accepts: accepts}
	assert.False(t, d.take("a"))
	assert.Equal(t, ":1", d.do("LPUSH", []string{"queue:zync", "{}"}))
	assert.True(t, d.waits("a"))
	assert.True(t, d.take("a"))
	assert.False(t, d.take("a"), "it is done once")
	d.putBack("a")
	assert.True(t, d.take("a"), "and again if it failed")
	assert.False(t, d.take("b"), "it is nobody's")
	d.Take(Fail)
	assert.Contains(t, d.do("LPUSH", []string{"queue:zync", "{}"}), "OOM")
	assert.Equal(t, 1, d.Pushed())
	assert.Contains(t, d.do("FLUSHALL", nil), "ERR")
}
