package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRun(t *testing.T) {
	t.Setenv("RAILS_ENV", "production")
	cases := map[string]struct {
		reason  string
		program string
		args    []string
		code    int
		err     string
	}{
		"OtherTask":     {"no other task is played", "bash", []string{"-c", "bundle exec rake db:drop"}, 127, "unknown command"},
		"LoginShell":    {"nor another way to say it", "bash", []string{"-lc", resync}, 127, "unknown command"},
		"NotByBash":     {"the entrypoint would prefix it", "entrypoint.sh", []string{"-c", resync}, 127, "unknown command"},
		"NoShell":       {"nobody is at the keyboard", "bash", nil, 127, "unknown command"},
		"NoEnvironment": {"porta does not boot without", "bash", []string{"-c", resync}, 1, "cannot boot without SECRET_KEY_BASE, DATABASE_URL"},
		"Sidekiq":       {"nor does sidekiq", "entrypoint.sh", []string{"rake", "sidekiq:worker", "RAILS_MAX_THREADS=25"}, 1, "cannot boot without SECRET_KEY_BASE"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			code, err := run(tc.program, tc.args)
			assert.Equal(t, tc.code, code, tc.reason)
			assert.ErrorContains(t, err, tc.err)
		})
	}
}

func TestBootWithoutConfigs(t *testing.T) {
	for _, name := range environment() {
		t.Setenv(name, "x")
	}
	code, err := run("bash", []string{"-c", resync})
	assert.Equal(t, 1, code)
	assert.ErrorContains(t, err, "zync.yml", "the volume is not there")
}
