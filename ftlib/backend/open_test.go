package backend

import (
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// kinds opens every backend that is usable on this machine.
func kinds(t *testing.T, check func(t *testing.T, name string)) {
	r := Survey()
	for _, c := range r.Candidates {
		t.Run(c.Name, func(t *testing.T) {
			if !c.Usable {
				t.Skipf("SKIPPED: %s: %s", c.Name, c.Why)
			}
			check(t, c.Name)
		})
	}
}

func TestOpenComputes(t *testing.T) {
	kinds(t, func(t *testing.T, name string) {
		b, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Open(name)
		if err != nil || again != b {
			t.Errorf("opened twice: %v, %v", again, err)
		}
		// The sum over i of i*i for i < 100 is 328350, exact in float32.
		exec, err := graph.NewExec(b, func(g *graph.Graph) *graph.Node {
			x := graph.Iota(g, shapes.Make(dtypes.Float32, 100), 0)
			return graph.ReduceAllSum(graph.Mul(x, x))
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Call()
		if err != nil {
			t.Fatal(err)
		}
		if got := out[0].Value().(float32); got != 328350 {
			t.Errorf("sum of squares %v, want 328350", got)
		}
	})
}

func TestOpenErrors(t *testing.T) {
	for name, want := range map[string]string{
		"xla:/no/such/plugin.so": "no such plugin file",
		"tpu":                    "known names are",
	} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v, want %q in it", name, err, want)
		}
	}
	t.Setenv(Env, "nonsense")
	if _, err := Open(""); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("%s=nonsense: %v", Env, err)
	}
}
