package commit

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
)

// FuzzAnswer: whoever has taken over a child may answer anything. What passes is about the request, and its texts fit into
// a status.
func FuzzAnswer(f *testing.F) {
	const sha = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	source := TreeInput{Input: overlay.Input{Name: "dr", Namespace: "3scale", Admitted: []overlay.Key{{Kind: "Secret", Name: "s"}}}}
	for _, answer := range []Answer{
		{Tree: &BuiltTree{Tree: overlay.Tree{Name: "dr", Namespace: "3scale"}, Objects: []json.RawMessage{[]byte(`{"kind":"Secret"}`)}}},
		{Branch: &Branch{Result: publish.Result{Commit: sha, Found: true, Note: "20261122t020000z-1a2b3c4d"}, Problem: &Failure{Kind: FolderTaken, Message: "m"}}},
		{Published: &publish.Result{Commit: sha, Pushed: true}},
		{Failure: &Failure{Kind: GitFailed, Message: "m"}},
	} {
		text, err := json.Marshal(answer)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, request := range []Request{{Build: &source}, {Inspect: &Place{}}, {Publish: &Publication{TreeInput: source}}} {
			var a Answer
			if json.Unmarshal(text, &a) != nil || a.Check(request) != nil {
				continue
			}
			failures, results := []*Failure{a.Failure}, []*publish.Result{}
			switch {
			case a.Failure != nil:
			case request.Build != nil:
				require.NotNil(t, a.Tree)
				assert.Equal(t, "dr/3scale", a.Tree.Name+"/"+a.Tree.Namespace)
				assert.LessOrEqual(t, len(a.Tree.Objects), 2)
			case request.Inspect != nil:
				failures, results = append(failures, a.Branch.Problem, a.Branch.Unsigned), append(results, &a.Branch.Result)
			default:
				assert.NotEmpty(t, a.Published.Commit)
				results = append(results, a.Published)
			}
			for _, failure := range failures {
				if failure != nil {
					assert.NotEmpty(t, failure.Kind)
					assert.True(t, len(failure.Message) <= 7<<10 && utf8.ValidString(failure.Message))
				}
			}
			for _, result := range results {
				assert.Regexp(t, `^([0-9a-fA-F]{40}|[0-9a-fA-F]{64}|)$`, result.Commit)
				assert.True(t, len(result.Note) <= 1<<10 && utf8.ValidString(result.Note))
			}
		}
	})
}
