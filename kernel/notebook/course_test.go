package notebook

import (
	"math"
	"strings"
	"testing"
)

func TestExpect(t *testing.T) {
	var b strings.Builder
	out = &b
	code := 0
	exit = func(c int) { code = c }
	defer func() { out, exit = nil, nil }()
	for _, c := range []struct {
		profile string
		got     float64
		code    int
		says    string
	}{
		{Classroom, 0.5, 0, "✓ share: 0.5 (expected 0 to 1)"},
		{Classroom, 1, 0, "✓ share: 1 "},
		{Classroom, 1.5, 1, "✗ share: 1.5, expected 0 to 1"},
		{Classroom, math.NaN(), 1, "✗ share: NaN"},
		{Full, 1.5, 0, "share: 1.5\n"},
	} {
		b.Reset()
		code = 0
		Expect(c.profile, "share", c.got, 0, 1)
		if code != c.code || !strings.HasPrefix(b.String(), c.says) {
			t.Errorf("%s %g: exit %d, %q", c.profile, c.got, code, b.String())
		}
	}
}

func TestProfile(t *testing.T) {
	for value, want := range map[string]string{"": Classroom, Classroom: Classroom, Full: Full} {
		t.Setenv(ProfileEnv, value)
		if got := Profile(); got != want {
			t.Errorf("%q: %s", value, got)
		}
	}
}
