// Package recipients parses the age recipients that a backup can be encrypted for.
// The check of a claim and the encryption both use it, so that they never
// disagree.
package recipients

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
)

// give says what is right in place of a wrong entry.
const give = "an age recipient (age1..., as age-keygen prints it)"

// Parse returns the recipients that texts name: those of age itself, either all
// X25519 (age1...) or all hybrid (age1pq1...). White space around a text does not
// count. An error tells which entry is wrong, counted from 1, and why; it repeats
// none, since somebody may have given a private key.
func Parse(texts []string) ([]age.Recipient, error) {
	if len(texts) == 0 {
		return nil, errors.New("there is none; name at least one age recipient (age1...)")
	}
	parsed := make([]age.Recipient, 0, len(texts))
	hybrid := 0
	for i, text := range texts {
		recipient, err := parse(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("entry %d %w", i+1, err)
		}
		if _, ok := recipient.(*age.HybridRecipient); ok {
			hybrid++
		}
		parsed = append(parsed, recipient)
	}
	if hybrid > 0 && hybrid < len(parsed) {
		return nil, errors.New("hybrid recipients (age1pq1...) stand beside others, which would undo what they are for, and which age refuses: name those of one kind")
	}
	return parsed, nil
}

// parse reads one recipient.
func parse(text string) (age.Recipient, error) {
	if err := Refuse(text); err != nil {
		return nil, err
	}
	var recipient age.Recipient
	err := errors.New("unknown")
	switch {
	case strings.HasPrefix(text, "age1pq1"):
		recipient, err = age.ParseHybridRecipient(text)
	case strings.HasPrefix(text, "age1"):
		recipient, err = age.ParseX25519Recipient(text)
	case strings.HasPrefix(text, "ssh-"):
		return nil, errors.New("is an SSH public key, whose private key a restore cannot be given: give " + give)
	}
	if err != nil {
		return nil, errors.New("is not " + give)
	}
	return recipient, nil
}

// Refuse returns what is wrong with a text that nobody may encrypt for: a private key, or the
// recipient of a plugin, a program that would be started. That recipient is age1<name>1<data>, since
// Bech32 has no 1 in its data, and age1pq1<data> is age's own. The error does not repeat the text.
func Refuse(text string) error {
	upper := strings.ToUpper(text)
	switch {
	case strings.HasPrefix(upper, "AGE-SECRET-KEY-"), strings.HasPrefix(upper, "AGE-PLUGIN-"), strings.Contains(text, "PRIVATE KEY"): // as PEM has it; a comment of an SSH key may say "private key"
		return errors.New("is a private key, and whoever could read it has it now: make a new one, and give its recipient")
	case strings.HasPrefix(text, "age1") && !strings.HasPrefix(text, "age1pq1") && strings.Count(text, "1") > 1:
		return errors.New("is a recipient of an age plugin, which would need a program of its own: give " + give)
	}
	return nil
}
