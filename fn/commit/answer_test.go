package commit

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
)

// TestAnswers: what a child says is taken only if it is about what was asked, and fits into a status.
func TestAnswers(t *testing.T) {
	const sha = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	source := TreeInput{Input: overlay.Input{Name: "dr", Namespace: "3scale", Admitted: []overlay.Key{{Kind: "Secret", Name: "s"}}}}
	build, inspect, commit := Request{Build: &source}, Request{Inspect: &Place{}}, Request{Publish: &Publication{TreeInput: source}}
	tree := func(name string, objects int) Answer {
		return Answer{Tree: &BuiltTree{Tree: overlay.Tree{Name: name, Namespace: "3scale"}, Objects: make([]json.RawMessage, objects)}}
	}
	branch := func(r publish.Result) Answer { return Answer{Branch: &Branch{Result: r}} }
	failure := func(kind Kind, message string) Answer { return Answer{Failure: &Failure{Kind: kind, Message: message}} }
	long := strings.Repeat("x", maxMessage+1)
	for name, tc := range map[string]struct {
		request Request
		answer  Answer
		ok      bool
	}{
		"Nothing":         {build, Answer{}, false},
		"Other":           {build, branch(publish.Result{}), false},
		"Tree":            {build, tree("dr", 2), true},
		"OtherTree":       {build, tree("other", 1), false},
		"MoreObjects":     {build, tree("dr", 3), false},
		"Failure":         {build, failure(TreeRefused, "m"), true},
		"UnknownFailure":  {build, failure("Other", "m"), false},
		"LongFailure":     {inspect, failure(GitFailed, long), false},
		"NoText":          {inspect, failure(GitFailed, "\xff"), false},
		"EmptyRepository": {inspect, branch(publish.Result{Whole: true}), true},
		"Found":           {inspect, branch(publish.Result{Commit: sha, Found: true, Note: "20261122t020000z-1a2b3c4d"}), true},
		"FoundNothing":    {inspect, branch(publish.Result{Found: true}), false},
		"NoCommit":        {inspect, branch(publish.Result{Commit: "main"}), false},
		"LongNote":        {inspect, branch(publish.Result{Commit: sha, Found: true, Note: long}), false},
		"LongProblem":     {inspect, Answer{Branch: &Branch{Problem: &Failure{Kind: FolderTaken, Message: long}}}, false},
		"LongUnsigned":    {inspect, Answer{Branch: &Branch{Unsigned: &Failure{Kind: GitFailed, Message: long}}}, false},
		"Published":       {commit, Answer{Published: &publish.Result{Commit: sha, Pushed: true}}, true},
		"PublishedNone":   {commit, Answer{Published: &publish.Result{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.answer.Check(tc.request)
			if tc.ok {
				assert.NoError(t, err)
				return
			}
			assert.Error(t, err)
		})
	}
	assert.Less(t, len(strconv.Quote(strings.Repeat("\x01", maxMessage))), 30<<10, "a condition that quotes a path has 32 KiB for it, and for its own words")
	bounded := failure(GitFailed, strings.Repeat("ä", maxMessage)).Failure.bounded()
	assert.NoError(t, bounded.check(), "a child bounds its own words")
	assert.True(t, strings.HasSuffix(bounded.Message, "ä..."))
}
