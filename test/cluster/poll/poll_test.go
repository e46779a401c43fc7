package poll_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster/poll"
)

func TestUntil(t *testing.T) {
	errBoom := errors.New("boom")
	errGone := errors.New("gone")
	cases := map[string]struct {
		reason  string
		cause   error // Of the context's end; nil: it does not end.
		results []error
		want    error
	}{
		"AtOnce": {
			reason:  "a condition that holds should not be waited for",
			results: []error{nil},
		},
		"Later": {
			reason:  "a condition that comes to hold in time should be no error",
			results: []error{errBoom, nil},
		},
		"Never": {
			reason:  "the last error should be told when time is over",
			results: []error{errBoom},
			want:    errBoom,
		},
		"Cancelled": {
			reason:  "the cause of the context's end should be told",
			cause:   errGone,
			results: []error{errBoom},
			want:    errGone,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			if tc.cause != nil {
				cancel(tc.cause)
			}
			defer cancel(nil)
			calls := 0
			err := poll.Until(ctx, 300*time.Millisecond, "the test", func(context.Context) error {
				result := tc.results[min(calls, len(tc.results)-1)]
				calls++
				return result
			})
			require.ErrorIs(t, err, tc.want, tc.reason)
		})
	}
}
