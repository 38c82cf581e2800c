package config

import (
	"fmt"
	"io"
	"log/slog"
)

// masked is what a secret looks like wherever it is printed.
const masked = "***"

// Secret is a text that cannot be printed by accident: every way in which fmt,
// encoding/json, go-toml and slog turn values into text gives "***". It holds a
// pointer because fmt prints unexported fields of other structs by reflection,
// without asking: that shows an address.
type Secret struct{ value *string }

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{value: &s} }

// Reveal returns the text. Each call is a place to review.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no secret, or an empty one.
func (s Secret) IsZero() bool { return s.value == nil || *s.value == "" }

// Equal compares the texts (go-cmp uses it).
func (s Secret) Equal(o Secret) bool { return s.Reveal() == o.Reveal() }

func (s Secret) String() string                { return masked }
func (s Secret) GoString() string              { return masked }
func (s Secret) MarshalText() ([]byte, error)  { return []byte(masked), nil }
func (s Secret) MarshalJSON() ([]byte, error)  { return []byte(`"` + masked + `"`), nil }
func (s Secret) LogValue() slog.Value          { return slog.StringValue(masked) }
func (s Secret) Format(f fmt.State, verb rune) { _, _ = io.WriteString(f, masked) }
