package commit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"runtime"
	"strings"

	"github.com/fluxcd/pkg/git/signature"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
)

// Login returns what to log in with at a Git server, by the data of a GitHub App and maybe through a proxy.
type Login func(ctx context.Context, data map[string][]byte, proxy *url.URL) (username, password string, err error)

// Worker does requests.
type Worker struct {
	GitHubApp Login
}

// Do does what is asked for. It is what a child process runs (see package confine): nothing that it meets on the way bounds it.
func (w Worker) Do(ctx context.Context, request Request) (answer Answer) {
	defer func() {
		if recover() != nil { // what was recovered may quote a Secret
			answer = Answer{Failure: &Failure{Kind: Crashed, Message: "it crashed at " + place()}}
		}
	}()
	var err error
	switch {
	case request.Build != nil:
		answer.Tree, err = request.Build.answer()
	case request.Inspect != nil:
		answer.Branch, err = request.Inspect.inspect(ctx, w)
	case request.Publish != nil:
		answer.Published, err = request.Publish.publish(ctx, w)
	default:
		err = errors.New("nothing is asked for")
	}
	if err != nil {
		return Answer{Failure: failureOf(err).bounded()}
	}
	if branch := answer.Branch; branch != nil {
		branch.Problem, branch.Unsigned = branch.Problem.bounded(), branch.Unsigned.bounded()
	}
	return answer
}

// place is where a panic happened, in this module.
func place() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(4, callers)])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "/backup/fn/") && !strings.Contains(frame.Function, "commit.Worker.Do.") {
			return fmt.Sprintf("%s, line %d", path.Base(frame.Function), frame.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// failureOf makes a value of an error.
func failureOf(err error) *Failure {
	var failure *Failure
	var git *publish.Error
	switch {
	case errors.As(err, &failure):
		return failure
	case errors.As(err, &git):
		return &Failure{Kind: GitFailed, Reason: git.Reason, Message: git.Error()}
	default:
		return &Failure{Kind: Crashed, Message: err.Error()}
	}
}

// tree builds the tree.
func (s *TreeInput) tree() (*overlay.Tree, error) {
	in := s.Input
	for i, raw := range s.Objects {
		object := &unstructured.Unstructured{}
		if json.Unmarshal(raw, &object.Object) != nil { // the error may quote a value
			return nil, &Failure{Kind: TreeRefused, Message: fmt.Sprintf("cannot decode object %d of the backup: nothing is committed; check who can write to the backup's volume, or restore another run", i+1)}
		}
		in.Objects = append(in.Objects, object)
	}
	tree, err := overlay.Build(in)
	var unsupported *overlay.UnsupportedTextError
	switch {
	case errors.As(err, &unsupported):
		return nil, &Failure{Kind: TextUnsupported, Message: err.Error()}
	case err != nil:
		return nil, &Failure{Kind: TreeRefused, Message: err.Error()}
	}
	return tree, nil
}

func (s *TreeInput) answer() (*BuiltTree, error) {
	tree, err := s.tree()
	if err != nil {
		return nil, err
	}
	built := &BuiltTree{Tree: *tree}
	built.Files = nil
	for _, object := range tree.Sorted() {
		raw, err := json.Marshal(object.Object)
		if err != nil {
			return nil, errors.New("cannot encode an object of the tree") // the error may quote a value
		}
		built.Objects = append(built.Objects, raw)
	}
	return built, nil
}

// connect completes the target with what the Secrets' data say.
func (w Worker) connect(ctx context.Context, p *Place) (publish.Target, error) {
	target := p.Target
	if p.Proxy != nil {
		proxy, err := publish.ProxyURL(p.Proxy)
		if err != nil {
			return target, err
		}
		target.ProxyURL = proxy
	}
	if !p.GitHubApp {
		return target, nil
	}
	username, password, err := w.GitHubApp(ctx, target.Auth, target.ProxyURL)
	if err != nil { // its words may quote the key
		return target, &Failure{Kind: GitFailed, Reason: publish.AuthenticationFailed,
			Message: "cannot log in as a GitHub App: check githubAppID, githubAppInstallationID or githubAppInstallationOwner, githubAppPrivateKey and githubAppBaseURL of the Secret, and that the App is installed for the repository"}
	}
	target.Auth = maps.Clone(target.Auth)
	maps.Copy(target.Auth, map[string][]byte{"username": []byte(username), "password": []byte(password)})
	return target, nil
}

// inspect looks at a branch.
func (p *Place) inspect(ctx context.Context, w Worker) (*Branch, error) {
	target, err := w.connect(ctx, p)
	if err != nil {
		return nil, err
	}
	branch := &Branch{}
	branch.Result, err = publish.Inspect(ctx, target, p.Trailer, func(_ context.Context, files fs.FS) error {
		branch.Problem = p.check(files)
		_, err := fs.Stat(files, path.Join(p.Root, overlay.Dir(p.Name)))
		branch.Written = err == nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := p.Signing.signer(); err != nil {
		branch.Unsigned = failureOf(err)
	}
	return branch, nil
}

// signer opens the key; nil without one.
func (k *SigningKey) signer() (signature.Signer, error) {
	switch {
	case k == nil:
		return nil, nil
	case k.SSH:
		return publish.SSHSigner(k.Data)
	default:
		return publish.OpenPGPSigner(k.Data)
	}
}

// publish encrypts, commits and pushes.
func (p *Publication) publish(ctx context.Context, w Worker) (*publish.Result, error) {
	tree, err := p.tree()
	if err != nil {
		return nil, err
	}
	made := publish.Commit{AuthorName: p.AuthorName, AuthorEmail: p.AuthorEmail, Trailer: p.Trailer}
	if made.Message, err = publish.RenderMessage(p.Template, p.Message.data()); err != nil {
		return nil, err
	}
	if made.Signer, err = p.Signing.signer(); err != nil {
		return nil, err
	}
	target, err := w.connect(ctx, &p.Place)
	if err != nil {
		return nil, err
	}
	folders := []string{path.Join(p.Root, overlay.BaseDir(p.Name)), path.Join(p.Root, overlay.Dir(p.Name))}
	result, err := publish.Publish(ctx, target, folders, made, func(_ context.Context, files fs.FS) (publish.Edit, error) {
		return p.edit(files, tree)
	})
	return &result, err
}

// edit makes the files of the commit: Secrets are encrypted before they leave this process, the encrypted tree is built once more,
// and each file that is written is one that Flux fetches.
func (p *Publication) edit(files fs.FS, tree *overlay.Tree) (publish.Edit, error) {
	if failure := p.check(files); failure != nil {
		return publish.Edit{}, failure
	}
	encrypter, err := Encrypter(files, p.Recipients)
	if err != nil {
		return publish.Edit{}, encryptionFailure(err)
	}
	edit, err := Edit(files, p.Root, tree, encrypter)
	if err != nil {
		return publish.Edit{}, encryptionFailure(err)
	}
	if failure := ignoredFailure(Hidden(files, p.Ignore, edit)); failure != nil {
		return publish.Edit{}, failure
	}
	return edit, nil
}
