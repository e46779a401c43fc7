package threescale

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const indent = "    "

// EncodeJSON returns a decoded JSON value byte for byte as the operator's backup
// writes it, which is `oc get -o json` piped through Python's
// print(json.dumps(parsed, indent=4, sort_keys=True))
// (pkg/backup/apimanager_backup.go:343-359): keys sorted, all but printable
// ASCII escaped, empty objects and lists without a line break, and a newline at
// the end.
//
// It accepts map[string]any, []any, string, bool, nil, int, int32, int64,
// float64 and json.Number. A float64 without a fraction is written as an
// integer, as the API server does. It fails on any other type, on a number that
// JSON does not know, and on a string that is not UTF-8; errors name the place,
// never the value.
func EncodeJSON(value any) ([]byte, error) {
	var e encoder
	if err := e.value(value, ""); err != nil {
		return nil, err
	}
	e.WriteByte('\n')
	return e.Bytes(), nil
}

// encoder collects the output. Its methods get the line prefix of the value
// that they write.
type encoder struct{ bytes.Buffer }

func (e *encoder) value(value any, prefix string) error {
	switch v := value.(type) {
	case nil:
		e.WriteString("null")
	case bool:
		e.WriteString(strconv.FormatBool(v))
	case string:
		return e.text(v)
	case map[string]any:
		return e.object(v, prefix)
	case []any:
		return e.list(v, prefix)
	default:
		return e.number(v)
	}
	return nil
}

func (e *encoder) object(object map[string]any, prefix string) error {
	if len(object) == 0 {
		e.WriteString("{}")
		return nil
	}
	keys := slices.AppendSeq(make([]string, 0, len(object)), maps.Keys(object))
	slices.Sort(keys)
	separator, inner := "{\n", prefix+indent
	for _, key := range keys {
		e.WriteString(separator)
		e.WriteString(inner)
		if err := e.text(key); err != nil {
			return err
		}
		e.WriteString(": ")
		if err := e.value(object[key], inner); err != nil {
			return fmt.Errorf("cannot encode field %q: %w", key, err)
		}
		separator = ",\n"
	}
	e.WriteString("\n" + prefix + "}")
	return nil
}

func (e *encoder) list(list []any, prefix string) error {
	if len(list) == 0 {
		e.WriteString("[]")
		return nil
	}
	separator, inner := "[\n", prefix+indent
	for i, item := range list {
		e.WriteString(separator)
		e.WriteString(inner)
		if err := e.value(item, inner); err != nil {
			return fmt.Errorf("cannot encode item %d: %w", i, err)
		}
		separator = ",\n"
	}
	e.WriteString("\n" + prefix + "]")
	return nil
}

// text writes a string as Python does with ensure_ascii: what is not between
// space and tilde becomes a short escape or \uXXXX, in surrogate pairs above
// the basic plane.
func (e *encoder) text(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("cannot encode a string of %d bytes: it is not UTF-8", len(s))
	}
	e.WriteByte('"')
	written := 0
	for i, r := range s {
		if ' ' <= r && r <= '~' && r != '"' && r != '\\' {
			continue
		}
		e.WriteString(s[written:i])
		e.WriteString(escape(r))
		written = i + utf8.RuneLen(r)
	}
	e.WriteString(s[written:])
	e.WriteByte('"')
	return nil
}

// escape returns the JSON escape of a quote, of a backslash, and of a character outside
// printable ASCII.
func escape(r rune) string {
	const short = "\b\f\n\r\t\"\\"
	if i := strings.IndexRune(short, r); i >= 0 {
		return `\` + "bfnrt\"\\"[i:i+1]
	}
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

func (e *encoder) number(value any) error {
	var literal string
	var err error
	switch v := value.(type) {
	case int, int32, int64:
		literal = fmt.Sprint(v)
	case float64:
		literal, err = goFloat(v)
	case json.Number:
		literal, err = numberLiteral(v.String())
	default:
		err = fmt.Errorf("cannot encode a value of type %T", value)
	}
	e.WriteString(literal)
	return err
}

// goFloat writes a float as Python does after reading it from Go's JSON, in which an
// integral number below 1e21 has no fraction.
func goFloat(f float64) (string, error) {
	literal, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("cannot encode a number: %w", err)
	}
	return numberLiteral(string(literal))
}

// numberLiteral writes a number of JSON text as Python does: an integer as it
// is, anything else as the shortest text of its float64.
func numberLiteral(literal string) (string, error) {
	if strings.Trim(literal, "+-.0123456789Ee") != "" || !json.Valid([]byte(literal)) {
		return "", errors.New("cannot encode a number: it is not one of JSON")
	}
	if literal == "-0" {
		return "0", nil
	}
	if !strings.ContainsAny(literal, ".eE") {
		return literal, nil
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return "", errors.New("cannot encode a number: it is out of range")
	}
	return pythonFloat(f), nil
}

// pythonFloat is Python's repr of a float: an exponent below 1e-4 and from 1e16
// on, else at least one digit after the point.
func pythonFloat(f float64) string {
	if size := math.Abs(f); f != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	literal := strconv.FormatFloat(f, 'f', -1, 64)
	if strings.Contains(literal, ".") {
		return literal
	}
	return literal + ".0"
}
