package policy

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

const module = "ftlab/"

// mayImport is the layout: which of the project's packages a package may import. A
// package that is not listed does not exist; "*" allows everything but cmd/ft. Files
// of tests are free.
var mayImport = map[string]string{
	"ftlib":             "",
	"ftlib/safetensors": "",
	"ftlib/quant":       "ftlib/safetensors",
	"ftlib/token":       "",
	"ftlib/gguf":        "",
	"ftlib/export":      "ftlib/chat ftlib/corpus ftlib/gguf ftlib/llm ftlib/safetensors ftlib/token",
	"ftlib/chat":        "ftlib/chat/jinja",
	"ftlib/chat/jinja":  "",
	"ftlib/corpus":      "ftlib ftlib/chat ftlib/token",
	"ftlib/backend":     "kernel/session",
	"ftlib/svd":         "",
	"ftlib/llm":         "ftlib ftlib/backend ftlib/corpus ftlib/quant ftlib/safetensors ftlib/svd ftlib/token",
	"ftlib/optim":       "ftlib ftlib/backend ftlib/quant",
	"ftlib/lab":         "ftlib/backend ftlib/llm kernel/session",
	"ftlib/ckpt":        "ftlib ftlib/safetensors",
	"ftlib/recipe":      "ftlib",
	"ftlib/tensorboard": "ftlib",
	"ftlib/sweep":       "ftlib ftlib/chart ftlib/ckpt",
	"ftlib/chart":       "ftlib",
	"ftlib/lens":        "ftlib/chart ftlib/corpus ftlib/llm ftlib/quant ftlib/safetensors ftlib/svd ftlib/token",
	"ftlib/health":      "ftlib",
	"ftlib/plan":        "ftlib",
	"ftlib/loss":        "",
	"ftlib/verify":      "",
	"ftlib/sandbox":     "",
	"ftlib/reward":      "ftlib/sandbox ftlib/verify",
	"ftlib/eval":        "ftlib ftlib/chat ftlib/corpus ftlib/llm ftlib/token ftlib/verify",
	"ftlib/tune":        "ftlib ftlib/backend ftlib/chat ftlib/ckpt ftlib/corpus ftlib/eval ftlib/lab ftlib/llm ftlib/loss ftlib/optim ftlib/plan ftlib/quant ftlib/reward ftlib/safetensors ftlib/sweep ftlib/tensorboard ftlib/token ftlib/verify",

	"kernel/internal/wire":        "",
	"kernel/internal/trust":       "kernel/internal/wire",
	"kernel/internal/link":        "",
	"kernel/widget":               "kernel/internal/link",
	"kernel/internal/gopls":       "",
	"kernel/session":              "kernel/internal/trust kernel/internal/wire",
	"kernel/session/internal/gen": "kernel/internal/wire",
	"kernel/device":               "ftlib/safetensors kernel/internal/trust kernel/internal/wire",

	"kernel/spec":     "",
	"kernel/jupyter":  "kernel/internal/gopls",
	"kernel/notebook": "ftlib ftlib/chart ftlib/chat ftlib/ckpt ftlib/corpus ftlib/health ftlib/llm ftlib/plan ftlib/sweep ftlib/token ftlib/tune kernel/widget",

	"cmd/ft": "ftlib ftlib/backend ftlib/chart ftlib/chat ftlib/ckpt ftlib/corpus ftlib/eval ftlib/export ftlib/lab ftlib/llm ftlib/plan ftlib/quant ftlib/recipe ftlib/reward ftlib/safetensors ftlib/sandbox ftlib/sweep ftlib/tensorboard ftlib/token ftlib/tune ftlib/verify kernel/device kernel/jupyter kernel/notebook kernel/session kernel/spec kernel/widget internal/serve",

	"internal/policy":             "",
	"internal/bench":              "*",
	"internal/serve":              "ftlib/chat ftlib/llm ftlib/token",
	"internal/results":            "*",
	"internal/gpureport":          "*",
	"scripts/examples":            "*",
	"internal/testkit":            "ftlib/backend",
	"internal/testkit/cell":       "ftlib/corpus",
	"internal/testkit/port":       "",
	"internal/browser":            "internal/testkit/port",
	"internal/acceptance":         "internal/testkit internal/testkit/port kernel/jupyter",
	"internal/course":             "",
	"internal/course/cmd/make":    "*",
	"internal/world":              "",
	"internal/world/cmd/make":     "*",
	"internal/world/cmd/pretrain": "*",
	"internal/world/tiny":         "*",
}

// noGoMLX lists what stays free of GoMLX, so that it is small, starts fast and can be
// tested without a backend.
var noGoMLX = []string{
	"ftlib", "ftlib/safetensors", "ftlib/quant", "ftlib/svd", "ftlib/gguf", "ftlib/token", "ftlib/chat", "ftlib/chat/jinja", "ftlib/ckpt", "ftlib/chart", "ftlib/health", "ftlib/plan", "ftlib/sweep", "ftlib/recipe", "ftlib/tensorboard", "ftlib/loss", "ftlib/verify", "ftlib/sandbox", "ftlib/reward",
	"ftlib/corpus", "kernel/jupyter", "kernel/spec", "kernel/widget", "kernel/internal/link", "internal/browser", "internal/world",
}

// gomlx are the modules that compute. (go-huggingface, of the same authors, only
// reads the hub's cache.)
var gomlx = []string{"github.com/gomlx/gomlx", "github.com/gomlx/compute", "github.com/gomlx/go-xla"}

func TestImports(t *testing.T) {
	all := packages(t)
	for path, p := range all {
		allowed, known := mayImport[path]
		if !known {
			t.Errorf("package %s is not in the layout: add it to mayImport, and to the tree in README.md", path)
			continue
		}
		for imported, file := range p.imports {
			below, ours := strings.CutPrefix(imported, module)
			switch {
			case !ours:
			case below == "cmd/ft":
				t.Errorf("%s imports %s: nobody may", file, imported)
			case allowed == "*", slices.Contains(strings.Fields(allowed), below):
			default:
				t.Errorf("%s imports %s: %s may import only %q", file, imported, path, allowed)
			}
		}
	}
}

// The table itself must have no way round in a circle.
func TestLayoutHasNoCircle(t *testing.T) {
	var visit func(path string, above []string)
	visit = func(path string, above []string) {
		if slices.Contains(above, path) {
			t.Fatalf("circle: %s", strings.Join(append(above, path), " -> "))
		}
		for _, next := range strings.Fields(mayImport[path]) {
			visit(next, append(slices.Clone(above), path))
		}
	}
	for path := range mayImport {
		visit(path, nil)
	}
}

func TestWithoutGoMLX(t *testing.T) {
	all := packages(t)
	for _, path := range noGoMLX {
		p := all[path]
		if p == nil {
			continue
		}
		for imported, file := range p.imports {
			for _, g := range gomlx {
				if imported == g || strings.HasPrefix(imported, g+"/") {
					t.Errorf("%s imports %s: %s knows no GoMLX", file, imported, path)
				}
			}
		}
	}
}

// Opening a backend is the business of one package: it knows which plugins are there
// and how the pure Go backend can be trusted.
func TestOnlyBackendOpensBackends(t *testing.T) {
	for path, p := range packages(t) {
		if path == "ftlib/backend" {
			continue
		}
		for imported, file := range p.imports {
			if strings.HasPrefix(imported, "github.com/gomlx/go-xla") || strings.HasPrefix(imported, "github.com/gomlx/gomlx/backends") || imported == "github.com/gomlx/compute/gobackend" {
				t.Errorf("%s imports %s: use ftlab/ftlib/backend", file, imported)
			}
		}
	}
}

// A cell is compiled anew each time it is run: what it links is what its user waits for.
func TestCellsLinkNoBackend(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-tags", "ftlab_session,netgo,osusergo", "./ftlib/...", "./kernel/notebook", "./kernel/session")
	cmd.Dir = testkit.Root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		for _, heavy := range []string{"github.com/gomlx/go-xla", "github.com/gomlx/compute/gobackend", "runtime/cgo", "github.com/parquet-go/parquet-go", "net/http"} {
			if path == heavy || strings.HasPrefix(path, heavy+"/") {
				t.Errorf("a cell links %s; what needs it belongs behind the build constraint !ftlab_session", path)
			}
		}
	}
}
