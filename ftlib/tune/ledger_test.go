package tune

import "testing"

func TestLedgerWords(t *testing.T) {
	l := ledger{Base: 10e6, Extras: 2e6, Roles: 4}
	if got := l.words(); got != "weights: 4 models on one base of 10.0 MB with 2.0 MB of adapters and heads; a base for each would hold 42.0 MB" {
		t.Errorf("%q", got)
	}
	if l.Roles = 1; l.words() != "" {
		t.Errorf("one model shares nothing: %q", l.words())
	}
}
