package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// buildInfo is what `ft version --json` prints.
type buildInfo struct {
	Version  string            `json:"version"`
	Revision string            `json:"revision,omitempty"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	SIMD     bool              `json:"simd"` // built with GOEXPERIMENT=simd: the pure Go backend is ten times faster
	Modules  map[string]string `json:"modules"`
}

func versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of ft and of what it is built from",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := version()
			if wantJSON(cmd) {
				return printJSON(cmd, v)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "ft %s %s (%s, %s", v.Version, v.Revision, v.Go, v.Platform)
			if v.SIMD {
				fmt.Fprint(out, ", simd")
			}
			fmt.Fprintln(out, ")")
			for _, name := range []string{"gomlx", "compute", "go-xla"} {
				fmt.Fprintf(out, "  %-8s %s\n", name, v.Modules["github.com/gomlx/"+name])
			}
			return nil
		},
	}
}

func version() buildInfo {
	v := buildInfo{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Modules: map[string]string{}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value[:min(12, len(s.Value))]
		case "GOEXPERIMENT":
			v.SIMD = strings.Contains(s.Value, "simd")
		}
	}
	for _, m := range info.Deps {
		if strings.HasPrefix(m.Path, "github.com/gomlx/") {
			v.Modules[m.Path] = m.Version
		}
	}
	return v
}
