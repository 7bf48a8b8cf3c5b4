package backend

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Report is what [Survey] found.
type Report struct {
	Candidates []Candidate `json:"candidates"` // best first: xla:cuda, xla:cpu, go
	Chosen     string      `json:"chosen"`     // what Open("") tries first
	Why        string      `json:"why"`
	GPU        string      `json:"gpu,omitempty"` // how an NVIDIA GPU was seen; empty: none
	Searched   []string    `json:"searched"`      // plugin folders in the order they count
}

// Candidate is one kind of backend on this machine.
type Candidate struct {
	Name    string `json:"name"`
	Usable  bool   `json:"usable"`           // all its files are there; whether it starts, Open says
	Plugin  string `json:"plugin,omitempty"` // path of the PJRT plugin
	Version string `json:"version,omitempty"`
	Why     string `json:"why"`           // why it is usable or not
	Fix     string `json:"fix,omitempty"` // what to do when it is not
}

// Candidate returns the entry of one kind, an unusable one if it is not known.
func (r Report) Candidate(name string) Candidate {
	for _, c := range r.Candidates {
		if c.Name == name {
			return c
		}
	}
	return Candidate{Name: name, Why: "no such backend"}
}

// Survey looks for backends. It reads folders only: no plugin is loaded, nothing is
// downloaded, and it takes about a millisecond.
func Survey() Report {
	r := Report{GPU: gpu(), Searched: PluginFolders()}
	cuda, cpu := findPlugins(r.Searched)
	r.Candidates = []Candidate{
		xlaCandidate(CUDA, cuda, r.GPU),
		xlaCandidate(CPU, cpu, r.GPU),
		{Name: Go, Usable: true, Version: moduleVersion("github.com/gomlx/compute"), Why: "built into the program"},
	}
	if !InProcess {
		for i := range r.Candidates {
			r.Candidates[i] = Candidate{Name: r.Candidates[i].Name, Why: "this program computes in the device server"}
		}
		r.Chosen, r.Why = session, r.Candidates[0].Why
		return r
	}
	for _, c := range r.Candidates {
		if c.Usable {
			r.Chosen, r.Why = c.Name, c.Name+": "+c.Why
			break
		}
		r.Why = c.Why
	}
	if name := os.Getenv(Env); name != "" {
		r.Chosen, r.Why = canonical(name), Env+" says so"
	} else if name := os.Getenv("GOMLX_BACKEND"); name != "" {
		r.Chosen, r.Why = canonical(name), "GOMLX_BACKEND says so"
	}
	return r
}

func xlaCandidate(name, plugin, gpu string) Candidate {
	c := Candidate{Name: name, Plugin: plugin, Version: pluginVersion(plugin)}
	switch {
	case !XLABuiltIn:
		c.Why, c.Fix = "this program was built without XLA", "install a C compiler (gcc), then run scripts/lab --setup"
	case name == CUDA && gpu == "":
		c.Why = "no NVIDIA GPU found"
	case plugin == "":
		c.Why, c.Fix = "no PJRT plugin found", "run scripts/lab --setup with a network, or set PJRT_PLUGIN_LIBRARY_PATH to the folder of a plugin"
	case name == CUDA:
		c.Usable, c.Why = true, fmt.Sprintf("GPU (%s) and plugin found", gpu)
	default:
		c.Usable, c.Why = true, "plugin found"
	}
	return c
}

// gpu says how an NVIDIA GPU shows itself, or nothing.
func gpu() string {
	if devices, _ := filepath.Glob("/dev/nvidia[0-9]*"); len(devices) > 0 {
		return strings.Join(devices, " ")
	}
	for _, lib := range []string{"/usr/lib/wsl/lib/libcuda.so.1"} { // Windows Subsystem for Linux
		if _, err := os.Stat(lib); err == nil {
			return lib
		}
	}
	return ""
}

// PluginFolders lists the folders where plugins are looked for, in order, whether
// or not they exist.
func PluginFolders() []string {
	var dirs []string
	for _, name := range []string{"PJRT_PLUGIN_LIBRARY_PATH", "FTLAB_PLUGINS"} {
		dirs = append(dirs, filepath.SplitList(os.Getenv(name))...)
	}
	if wd, err := os.Getwd(); err == nil {
		dirs = appendLab(dirs, wd)
	}
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dirs = appendLab(dirs, filepath.Dir(exe))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, "ftlab", "plugins"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".local", "lib", "go-xla"))
	}
	dirs = append(dirs, filepath.Join("/usr", "local", "lib", "go-xla"))

	seen := map[string]bool{}
	var out []string
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if dir == "" || err != nil || seen[abs] {
			continue
		}
		seen[abs] = true
		out = append(out, abs)
	}
	return out
}

// appendLab adds the .lab/plugins folder of the checkout that dir is in.
func appendLab(dirs []string, dir string) []string {
	for {
		lab := filepath.Join(dir, ".lab", "plugins")
		if st, err := os.Stat(lab); err == nil && st.IsDir() {
			return append(dirs, lab)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return dirs
		}
		dir = parent
	}
}

// findPlugins returns the first GPU and the first processor plugin below the
// folders given, empty where there is none. Python packages keep the file up to
// three levels down.
func findPlugins(dirs []string) (cuda, cpu string) {
	ext := ".so"
	if runtime.GOOS == "darwin" {
		ext = ".dylib"
	}
	for _, dir := range dirs {
		pattern := dir
		for range 4 {
			pattern = filepath.Join(pattern, "*")
			files, _ := filepath.Glob(pattern + ext)
			for _, file := range files {
				base := strings.ToLower(filepath.Base(file))
				switch {
				case !strings.Contains(base, "pjrt") && !strings.Contains(base, "xla_cuda_plugin"):
				case looksLikeCUDA(base):
					if cuda == "" {
						cuda = file
					}
				case strings.Contains(base, "cpu"):
					if cpu == "" {
						cpu = file
					}
				}
			}
		}
	}
	return cuda, cpu
}

func looksLikeCUDA(path string) bool {
	lower := strings.ToLower(path)
	return strings.Contains(lower, "cuda") || strings.Contains(lower, "nvidia")
}

// pluginVersion reads the version of the Python package that the plugin came in
// from the folder beside it ("name-1.2.3.dist-info").
func pluginVersion(plugin string) string {
	if plugin == "" {
		return ""
	}
	for dir := filepath.Dir(plugin); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		infos, _ := filepath.Glob(filepath.Join(dir, "*pjrt*.dist-info"))
		if len(infos) > 0 {
			name, version, _ := strings.Cut(strings.TrimSuffix(filepath.Base(infos[0]), ".dist-info"), "-")
			return strings.ReplaceAll(name, "_", "-") + " " + version
		}
		if filepath.Base(dir) == "plugins" {
			break
		}
	}
	return ""
}

// HugePagesOn says whether malloc of this process asks for huge pages, and what the
// kernel's setting is ("always", "madvise", "never"; empty where there is none).
func HugePagesOn() (on bool, kernel string) {
	kernel = thp()
	on = kernel == "always" || kernel == "madvise" && strings.Contains(os.Getenv("GLIBC_TUNABLES"), "glibc.malloc.hugetlb=1")
	return on, kernel
}
