//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"ftlab/ftlib/backend"
	"ftlab/kernel/notebook"
	"ftlab/kernel/spec"
)

func init() { commands = append(commands, scriptCmd) }

func scriptCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "script",
		Short: "Run a Go file as a program, without a go.mod",
	}
	run := &cobra.Command{
		Use:   "run FILE.go [ARGUMENTS...]",
		Short: "Compile a Go file with FTLab's packages and run it",
		Long: `run compiles one Go file and runs it. It may import FTLab's packages and every module
that FTLab uses; there is no go.mod to write and nothing is downloaded. It computes in the
device server, as notebooks do, unless FTLAB_BACKEND says otherwise. Charts that it shows
(notebook.Show) are written to HTML files beside it: FILE-1.html and so on.

Arguments, input, signals and the exit code are the program's own.

A file that begins with this line and an empty one, and is executable, runs by its name:

  //usr/bin/env ft script run "$0" "$@"; exit

The line is a comment to Go, and a command to the shell. #!/usr/bin/env -S ft script run
works too, also where no shell starts the file, but gofmt does not take it.`,
		Args:               cobra.MinimumNArgs(1),
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-h" || args[0] == "--help" {
				return cmd.Help()
			}
			if strings.HasPrefix(args[0], "-") {
				return usageErrorf("script: %s: the file comes first, what follows goes to it", args[0])
			}
			return runScript(cmd.Context(), args[0], args[1:])
		},
	}
	cmd.AddCommand(run)
	return cmd
}

// runScript builds a file and becomes its program; it returns only when that fails.
func runScript(ctx context.Context, file string, args []string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if filepath.Ext(path) != ".go" {
		return usageErrorf("script: %s: a script is a Go file, with a name that ends in .go", file)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	root, err := findRoot()
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	// A folder of the file's own: the program there is linked again only when it changes.
	dir := filepath.Join(cache, "ftlab", "scripts", fmt.Sprintf("%x", sha256.Sum256([]byte(path)))[:16])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	program := filepath.Join(dir, strings.TrimSuffix(filepath.Base(path), ".go"))
	env := scriptEnv(root, path)
	build := []string{"build", "-buildvcs=false", "-o", program}
	if bytes.HasPrefix(source, []byte("#!")) {
		overlay, err := withoutShebang(dir, path, source)
		if err != nil {
			return err
		}
		build = append(build, "-overlay", overlay)
	}
	if err := buildScript(ctx, root, file, env, append(build, path)); err != nil {
		return err
	}
	err = syscall.Exec(program, append([]string{file}, args...), env)
	return fmt.Errorf("script: %s: %w", program, err)
}

// buildScript compiles in the checkout, whose module the file so belongs to. What the
// compiler says names the file as its user did.
func buildScript(ctx context.Context, root, file string, env, build []string) error {
	path, program := build[len(build)-1], build[3] // of -o
	c := exec.CommandContext(ctx, "go", build...)
	c.Dir, c.Env = root, env
	said, err := c.CombinedOutput()
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("script: the go command is not in the PATH: %w", err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := strings.TrimPrefix(string(said), "# command-line-arguments\n")
	copied := filepath.Join(filepath.Dir(program), copyName) // of a file with #!
	for _, path := range []string{copied, path} {
		if rel, err := filepath.Rel(root, path); err == nil {
			text = strings.ReplaceAll(text, rel+":", file+":")
		}
		text = strings.ReplaceAll(text, path+":", file+":")
	}
	return fmt.Errorf("script: %s does not compile:\n%s", file, strings.TrimSpace(text))
}

const copyName = "source.go"

// withoutShebang has Go read the file with its first line as a comment. It returns the
// name of the file that tells Go so.
func withoutShebang(dir, path string, source []byte) (string, error) {
	copied, overlay := filepath.Join(dir, copyName), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(copied, append([]byte("//"), source[2:]...), 0o600); err != nil {
		return "", err
	}
	return overlay, os.WriteFile(overlay, fmt.Appendf(nil, `{"Replace": {%q: %q}}`, path, copied), 0o600)
}

// scriptEnv is the environment of a script, and of its compilation: that of cells.
func scriptEnv(root, path string) []string {
	flags := spec.GoFlags
	name := os.Getenv(backend.Env)
	if name == "" {
		name = "session:"
	} else if !strings.HasPrefix(name, "session") { // it computes by itself
		flags = "'-ldflags=-s -w'"
	}
	bin := filepath.Join(root, ".lab", "bin")
	set := []string{
		backend.Env + "=" + name,
		"GOFLAGS=" + flags, "GOEXPERIMENT=simd", "GOPROXY=off", "GOWORK=off", "GOTOOLCHAIN=local", "GOMLX_NO_AUTO_INSTALL=1",
		"PATH=" + os.Getenv("PATH") + string(filepath.ListSeparator) + bin,
		notebook.PagesEnv + "=" + strings.TrimSuffix(path, ".go"),
	}
	if os.Getenv("FTLAB_PLUGINS") == "" {
		set = append(set, "FTLAB_PLUGINS="+filepath.Join(root, ".lab", "plugins"))
	}
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		return slices.ContainsFunc(set, func(t string) bool { return s[:strings.IndexByte(s, '=')+1] == t[:strings.IndexByte(t, '=')+1] })
	})
	return append(env, set...)
}
