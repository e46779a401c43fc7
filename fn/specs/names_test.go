package specs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation"
)

// longest is the longest name that a ThreeScaleBackup can have, with a dot
// wherever a name may be cut.
func longest(letter string) string {
	return strings.TrimSuffix(strings.Repeat(letter+".", 127), ".")
}

func TestNames(t *testing.T) {
	cases := map[string]struct {
		reason string
		run    Run
		want   string
	}{
		"Short": {
			reason: "a name that fits is kept, for people to read",
			run:    Run{Identity: Identity{Backup: "nightly"}, ID: "20261122t115900z-1a2b3c4d", Attempt: 1}, want: "nightly-1a2b3c4d",
		},
		"Trigger": {
			reason: "a trigger's run has no time",
			run:    Run{Identity: Identity{Backup: "nightly"}, ID: "trigger-1a2b3c4d5e6f", Attempt: 1}, want: "nightly-1a2b3c4d5e6f",
		},
		"SecondAttempt": {
			reason: "immutable objects cannot be taken again under their old name",
			run:    Run{Identity: Identity{Backup: "nightly"}, ID: "20261122t115900z-1a2b3c4d", Attempt: 2}, want: "nightly-1a2b3c4d-2",
		},
		"Dotted": {
			reason: "a Job's name is a label of its pods and a host name: it has no dots; the digest tells a.b from a-b",
			run:    Run{Identity: Identity{Backup: "a.b"}, ID: "20261122t115900z-1a2b3c4d", Attempt: 1}, want: "a-b-" + digest("a.b") + "-1a2b3c4d",
		},
		"Longest": {
			reason: "63 characters is what a label holds",
			run:    Run{Identity: Identity{Backup: strings.Repeat("n", 253)}, ID: "20261122t115900z-1a2b3c4d", Attempt: 5},
			want:   strings.Repeat("n", 43) + "-" + digest(strings.Repeat("n", 253)) + "-1a2b3c4d-5",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, tc.run.Name(), tc.reason)
			assert.LessOrEqual(t, len(tc.run.Name()), 63)
		})
	}
}

func TestPVCName(t *testing.T) {
	assert.Equal(t, "nightly-backup", PVCName("nightly"))
	assert.Equal(t, "a.b-backup", PVCName("a.b"), "a claim's name may have dots")
	for _, name := range []string{longest("a"), strings.Repeat("a", 253), strings.Repeat("a", 246), strings.Repeat("a", 247)} {
		assert.Empty(t, validation.IsDNS1123Subdomain(PVCName(name)), name)
		assert.True(t, strings.HasSuffix(PVCName(name), "-backup"))
	}
	assert.NotEqual(t, PVCName(strings.Repeat("a", 252)+"b"), PVCName(strings.Repeat("a", 252)+"c"))
}

// TestSnapshotNamesDoNotCollide: the user chooses what the Secrets that an
// APIManager refers to are called.
func TestSnapshotNamesDoNotCollide(t *testing.T) {
	for _, source := range []string{"objects", "report", "backup", "2-objects", "mover"} {
		for attempt := 1; attempt <= 2; attempt++ {
			r := Run{Identity: Identity{Backup: "nightly"}, ID: "trigger-1a2b3c4d5e6f", Attempt: attempt}
			assert.NotEqual(t, objectsSecretName(r), SecretCopyName(r, source), source)
		}
	}
}

func TestAttemptOf(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "5": 5, "": 0, "x": 0, "-1": 0, "99999999999999999999": 0} {
		assert.Equal(t, want, AttemptOf(map[string]string{"backup.threescale.dev/attempt": text}), text)
	}
	assert.Zero(t, AttemptOf(nil))
}

// FuzzName: whatever a backup and its Secrets are called, the names of composed
// objects are valid, and different for different inputs.
func FuzzName(f *testing.F) {
	for _, name := range []string{"nightly", "a.b", "a-b", "0", longest("a"), longest("z"), strings.Repeat("x", 253), strings.Repeat("x", 252) + "y"} {
		f.Add(name, "nightly", "system-app", 1)
		f.Add("nightly", name, name, 7)
	}
	f.Fuzz(func(t *testing.T, one, other, source string, attempt int) {
		for _, name := range []string{one, other, source} {
			if len(validation.IsDNS1123Subdomain(name)) > 0 {
				t.Skip() // no object is called so
			}
		}
		attempt = max(attempt, 1)%1000 + 1
		a, b := Run{Identity: Identity{Backup: one}, ID: "trigger-1a2b3c4d5e6f", Attempt: attempt}, Run{Identity: Identity{Backup: other}, ID: "trigger-1a2b3c4d5e6f", Attempt: attempt}
		for _, name := range []string{a.Name(), ServiceAccount(a.Identity).Name} {
			assert.Empty(t, validation.IsDNS1123Label(name), name)
		}
		for _, name := range []string{PVCName(one), ReportName(a), objectsSecretName(a), SecretCopyName(a, source)} {
			assert.Empty(t, validation.IsDNS1123Subdomain(name), name)
		}
		for _, value := range a.Labels() {
			assert.Empty(t, validation.IsValidLabelValue(value), value)
		}
		assert.Empty(t, validation.IsValidLabelValue(LabelValue(source)))
		assert.NotEqual(t, objectsSecretName(a), SecretCopyName(a, source))
		assert.NotEqual(t, a.Name(), Run{Identity: Identity{Backup: one}, ID: a.ID, Attempt: attempt + 1}.Name())
		if one == other {
			return
		}
		assert.NotEqual(t, a.Name(), b.Name())
		assert.NotEqual(t, PVCName(one), PVCName(other))
		assert.NotEqual(t, LabelValue(one), LabelValue(other))
		assert.NotEqual(t, SecretCopyName(a, one), SecretCopyName(a, other))
		assert.NotEqual(t, ServiceAccount(a.Identity).Name, ServiceAccount(b.Identity).Name)
	})
}

// FuzzRunID: an ID is read from a label, which others may write.
func FuzzRunID(f *testing.F) {
	for _, id := range []string{"", "-", "a", strings.Repeat("a", 63), strings.Repeat("a", 300), "x-", "-x"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		r := Run{Identity: Identity{Backup: strings.Repeat("b", 253)}, ID: id, Attempt: 999999999}
		assert.LessOrEqual(t, len(r.Name()), 63, "%q", id)
	})
}

// FuzzObjectKey: a key of a Secret stands for each path of a snapshot.
func FuzzObjectKey(f *testing.F) {
	f.Add("system-app", "system-seed")
	f.Add(longest("a"), longest("b"))
	f.Fuzz(func(t *testing.T, one, other string) {
		if len(validation.IsDNS1123Subdomain(one)) > 0 || len(validation.IsDNS1123Subdomain(other)) > 0 {
			t.Skip()
		}
		key := ObjectKey("secret-metadata/" + one + ".json")
		assert.Empty(t, validation.IsConfigMapKey(key), key)
		assert.True(t, strings.HasPrefix(key, "secret-metadata_"))
		if one != other {
			assert.NotEqual(t, key, ObjectKey("secret-metadata/"+other+".json"))
		}
	})
}
