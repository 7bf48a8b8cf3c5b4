package backend

import (
	"bytes"
	"os"
	"strings"
	"syscall"
)

const (
	tunables = "GLIBC_TUNABLES"
	hugetlb  = "glibc.malloc.hugetlb"
	restart  = "FTLAB_RESTARTED" // in the environment of the second start
)

// HugePages starts the running program again with huge pages for malloc, and
// returns where that is not wanted or not possible. It must be the first thing main
// does: nothing that ran before survives. Process id, arguments, standard streams
// and working folder stay. FTLAB_HUGEPAGES=0 switches it off.
func HugePages() {
	if os.Getenv(restart) != "" {
		os.Unsetenv(restart) // children decide for themselves
		return
	}
	env, ok := hugePagesEnv(os.Environ(), thp(), usesGlibc())
	if !ok {
		return
	}
	if path, err := os.Executable(); err == nil {
		_ = syscall.Exec(path, os.Args, env)
	}
	// Still here: the file was replaced or removed in the meantime, but the kernel
	// has it yet. Should that fail as well, just go on.
	_ = syscall.Exec("/proc/self/exe", os.Args, env)
}

// hugePagesEnv returns the environment for the second start, and whether there
// should be one. thp is the kernel's setting: "always", "madvise", "never" or "".
func hugePagesEnv(environ []string, thp string, glibc bool) ([]string, bool) {
	if !glibc || thp != "always" && thp != "madvise" {
		return nil, false
	}
	value := Malloc
	out := make([]string, 0, len(environ)+2)
	for _, kv := range environ {
		name, v, _ := strings.Cut(kv, "=")
		switch {
		case name == "FTLAB_HUGEPAGES" && v == "0":
			return nil, false
		case name == tunables && strings.Contains(v, hugetlb):
			return nil, false // somebody has decided already
		case name == tunables && v != "":
			value += ":" + v // theirs last: it wins
		case name != tunables:
			out = append(out, kv)
		}
	}
	return append(out, tunables+"="+value, restart+"=1"), true
}

// thp reads the kernel's setting of transparent huge pages: the word in brackets.
func thp() string {
	data, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(data), "[")
	word, _, _ := strings.Cut(rest, "]")
	return word
}

// usesGlibc says whether this program runs on glibc; a static one does not, nor
// one on musl.
func usesGlibc() bool {
	maps, err := os.ReadFile("/proc/self/maps")
	return err == nil && bytes.Contains(maps, []byte("/libc.so.6"))
}
