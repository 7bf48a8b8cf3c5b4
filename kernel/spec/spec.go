package spec

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Name is what notebooks call the kernel in their metadata.
const Name = "ftlab"

// DisplayName is what people see in Jupyter's list of kernels.
const DisplayName = "FTLab (Go)"

// GoFlags are those that cells are built with. A cell has no backend of its own but
// computes in the device server, needs no C compiler and carries no symbols: it links in
// a third of the time. scripts/lib.sh compiles packages ahead with the same flags.
const GoFlags = "'-ldflags=-s -w' -tags=ftlab_session,netgo,osusergo"

//go:embed logo.svg
var logo []byte

// Kernel says what the kernelspec points to.
type Kernel struct {
	Root   string // checkout that cells import ftlab from; required
	Where  Where  // zero: Root/.lab/venv
	GoBin  string // folder of the go command; zero: PATH decides when a notebook starts
	Malloc string // GLIBC_TUNABLES of cells
}

// kernelJSON is the file kernel.json, as Jupyter's documentation defines it.
type kernelJSON struct {
	Argv          []string          `json:"argv"`
	DisplayName   string            `json:"display_name"`
	Language      string            `json:"language"`
	InterruptMode string            `json:"interrupt_mode"`
	Env           map[string]string `json:"env"`
	Metadata      map[string]any    `json:"metadata"`
}

// Install writes the kernelspec and returns its folder. Installing again replaces
// it; a notebook that runs keeps its kernel.
func Install(k Kernel) (string, error) {
	root, err := filepath.Abs(k.Root)
	if err != nil {
		return "", fmt.Errorf("spec: %w", err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); k.Root == "" || err != nil {
		return "", fmt.Errorf("spec: %q is not an FTLab checkout: it has no go.mod", k.Root)
	}
	if strings.Contains(root, ",") {
		return "", fmt.Errorf("spec: the path %q has a comma in it, which gonb takes as the end; move the checkout", root)
	}
	for _, name := range []string{"gonb", "ft"} {
		if _, err := os.Stat(filepath.Join(root, ".lab", "bin", name)); err != nil {
			return "", fmt.Errorf("spec: .lab/bin/%s is missing; run scripts/lab --setup", name)
		}
	}
	kernels := k.Where.Folder
	if kernels == "" {
		kernels = Prefix(filepath.Join(root, ".lab", "venv")).Folder
	}
	dir := filepath.Join(kernels, Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("spec: %w", err)
	}
	data, err := json.MarshalIndent(describe(root, k.GoBin, k.Malloc), "", "  ")
	if err != nil {
		return "", fmt.Errorf("spec: %w", err)
	}
	for name, data := range map[string][]byte{"kernel.json": append(data, '\n'), "logo-svg.svg": logo} {
		if err := writeFile(filepath.Join(dir, name), data); err != nil {
			return "", fmt.Errorf("spec: %w", err)
		}
	}
	return dir, nil
}

// describe is the content of kernel.json for a checkout at root. Every path is absolute
// and none belongs to a user: on a machine that many share, one spec serves all of them.
func describe(root, goBin, malloc string) kernelJSON {
	bin := filepath.Join(root, ".lab", "bin")
	path := slices.DeleteFunc([]string{bin, goBin, "${PATH}"}, func(s string) bool { return s == "" })
	return kernelJSON{
		Argv:          []string{filepath.Join(bin, "ft"), "kernel", "-f", "{connection_file}", "--", filepath.Join(bin, "gonb"), "--go_work=" + root},
		DisplayName:   DisplayName,
		Language:      "go",
		InterruptMode: "message",
		Env: map[string]string{
			"PATH":                  joinList(path),
			"FTLAB_PLUGINS":         filepath.Join(root, ".lab", "plugins"),
			"GOEXPERIMENT":          "simd",
			"GOFLAGS":               GoFlags,
			"GOWORK":                "", // the notebook's own
			"GOTOOLCHAIN":           "local",
			"GOMLX_NO_AUTO_INSTALL": "1",
			"GLIBC_TUNABLES":        malloc,
		},
		Metadata: map[string]any{"debugger": false},
	}
}

func joinList(parts []string) string {
	out := parts[0]
	for _, p := range parts[1:] {
		out += string(filepath.ListSeparator) + p
	}
	return out
}

// writeFile replaces a file in one step: a Jupyter that is running may read it at
// any moment.
func writeFile(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
