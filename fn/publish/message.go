package publish

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/Masterminds/sprig/v3"
)

const (
	maxTemplate = 8 << 10  // bytes of a template
	maxMessage  = 16 << 10 // bytes of a message
	maxValue    = 64 << 10 // bytes and elements of a function's result
	maxSteps    = 4 << 10  // templates called, and rounds of ranges
)

// RenderMessage renders a commit message's template as ImageUpdateAutomation
// does: text/template with those of sprig's functions that give the same
// result each time. A function that could eat up the memory is left out, and
// so are ranges over numbers, and calls are counted: whoever writes a template
// need not be trusted.
func RenderMessage(text string, data any) (string, error) {
	if len(text) > maxTemplate {
		return "", fail(InvalidInput, "cannot use the message template: it is longer than %d bytes", maxTemplate)
	}
	parsed, err := template.New("message").Option("missingkey=error").Funcs(functions()).Parse(text)
	if err != nil {
		return "", fail(InvalidInput, "cannot use the message template: %v", err)
	}
	for _, each := range parsed.Templates() {
		if each.Tree != nil {
			boundRanges(each.Root)
			countSteps(each.Root)
		}
	}
	out := &bounded{left: maxMessage}
	if err := parsed.Execute(out, data); err != nil {
		return "", fail(InvalidInput, "cannot use the message template: %v", err)
	}
	message := strings.TrimSpace(out.String())
	if message == "" {
		return "", fail(InvalidInput, "cannot use the message template: it renders to nothing")
	}
	return message, nil
}

// unbounded are the functions whose result can be far larger than what they are given, or that work for long.
var unbounded = []string{
	"repeat", "until", "untilStep", "seq", "indent", "nindent", "wrap", "wrapWith", "derivePassword",
	"genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey",
	"encryptAES", "decryptAES", "bcrypt", "htpasswd", "fail", "getHostByName", "env", "expandenv",
}

func functions() template.FuncMap {
	all := sprig.HermeticTxtFuncMap()
	for _, name := range unbounded {
		delete(all, name)
	}
	all["print"], all["printf"], all["println"] = fmt.Sprint, fmt.Sprintf, fmt.Sprintln
	for name, function := range all {
		all[name] = boundResult(function)
	}
	all["items"] = items
	steps := 0
	all[stepFunction] = func() (string, error) {
		if steps++; steps > maxSteps {
			return "", errTooManySteps
		}
		return "", nil
	}
	return all
}

// stepFunction is called at the beginning of each template and of each round of a range, and prints nothing.
const stepFunction = "countedStep"

// countSteps has a list of a template begin with a step.
func countSteps(list *parse.ListNode) {
	step := &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier(stepFunction)}}
	action := &parse.ActionNode{NodeType: parse.NodeAction, Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{step}}}
	list.Nodes = append([]parse.Node{action}, list.Nodes...)
}

var (
	errTooLarge     = errors.New("the result is too large")
	errTooManySteps = fmt.Errorf("it calls templates and goes through lists more than %d times", maxSteps)
)

// boundResult makes a function panic, which the template reports, when its result is too large to go on with.
func boundResult(function any) any {
	value := reflect.ValueOf(function)
	kind := value.Type()
	return reflect.MakeFunc(kind, func(args []reflect.Value) []reflect.Value {
		call := value.Call
		if kind.IsVariadic() {
			call = value.CallSlice
		}
		results := call(args)
		if size(results[0], maxValue) > maxValue {
			panic(errTooLarge)
		}
		return results
	}).Interface()
}

// size counts the bytes and elements of a value, up to a limit.
func size(value reflect.Value, limit int) int {
	total := 1
	switch value.Kind() {
	case reflect.String:
		return value.Len()
	case reflect.Interface:
		if !value.IsNil() {
			return size(value.Elem(), limit)
		}
	case reflect.Slice, reflect.Array:
		for i := 0; i < value.Len() && total <= limit; i++ {
			total += size(value.Index(i), limit-total)
		}
	case reflect.Map:
		for each := value.MapRange(); total <= limit && each.Next(); {
			total += size(each.Key(), limit-total) + size(each.Value(), limit-total)
		}
	default:
	}
	return total
}

// boundRanges passes what each range goes over through items.
func boundRanges(at parse.Node) {
	var lists []*parse.ListNode
	switch n := at.(type) {
	case *parse.ListNode:
		for _, each := range n.Nodes {
			boundRanges(each)
		}
	case *parse.RangeNode:
		n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier("items")}})
		countSteps(n.List)
		lists = []*parse.ListNode{n.List, n.ElseList}
	case *parse.IfNode:
		lists = []*parse.ListNode{n.List, n.ElseList}
	case *parse.WithNode:
		lists = []*parse.ListNode{n.List, n.ElseList}
	default:
	}
	for _, list := range lists {
		if list != nil {
			boundRanges(list)
		}
	}
}

// items lets lists and maps through.
func items(value reflect.Value) (reflect.Value, error) {
	for value.Kind() == reflect.Interface {
		value = value.Elem()
	}
	switch value.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return value, nil
	case reflect.Invalid:
		return reflect.ValueOf([]any{}), nil
	default:
		return value, fmt.Errorf("range goes over lists and maps only, not over %s", value.Kind())
	}
}

// bounded is a writer that holds so many bytes and no more.
type bounded struct {
	strings.Builder

	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("the message is longer than %d bytes: %w", maxMessage, io.ErrShortWrite)
	}
	return b.Builder.Write(p)
}
