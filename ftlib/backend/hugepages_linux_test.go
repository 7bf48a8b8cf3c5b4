package backend

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestMain makes the test binary a program that restarts itself, where asked to.
func TestMain(m *testing.M) {
	if os.Getenv("BACKEND_TEST_RESTART") != "" {
		HugePages()
		fmt.Printf("%d %q %q %q\n", os.Getpid(), os.Args[1:], os.Getenv(tunables), os.Getenv(restart))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The program that comes back is the same process with the same arguments, once.
func TestHugePagesRestarts(t *testing.T) {
	if thp() != "madvise" && thp() != "always" || !usesGlibc() {
		t.Skipf("SKIPPED: huge pages are %q here, glibc %v", thp(), usesGlibc())
	}
	cmd := exec.Command(os.Args[0], "a b", "c")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, tunables+"=") })
	cmd.Env = append(cmd.Env, "BACKEND_TEST_RESTART=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d %q %q %q\n", cmd.Process.Pid, []string{"a b", "c"}, Malloc, "")
	if string(out) != want {
		t.Errorf("the second start says %s, want %s", out, want)
	}
}

func TestHugePagesEnv(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		thp     string
		glibc   bool
		want    string // GLIBC_TUNABLES of the second start; empty: none
	}{
		{"plain", []string{"A=b"}, "madvise", true, Malloc},
		{"always", nil, "always", true, Malloc},
		{"kept tunables", []string{"GLIBC_TUNABLES=glibc.malloc.arena_max=2"}, "madvise", true, Malloc + ":glibc.malloc.arena_max=2"},
		{"already on", []string{"GLIBC_TUNABLES=glibc.malloc.hugetlb=1"}, "madvise", true, ""},
		{"already off", []string{"GLIBC_TUNABLES=glibc.malloc.hugetlb=0"}, "madvise", true, ""},
		{"switched off", []string{"FTLAB_HUGEPAGES=0"}, "madvise", true, ""},
		{"kernel says never", nil, "never", true, ""},
		{"no such kernel file", nil, "", true, ""},
		{"not glibc", nil, "madvise", false, ""},
	} {
		env, ok := hugePagesEnv(c.environ, c.thp, c.glibc)
		if ok != (c.want != "") {
			t.Errorf("%s: restart = %v", c.name, ok)
			continue
		}
		if !ok {
			continue
		}
		if !slices.Contains(env, "GLIBC_TUNABLES="+c.want) || !slices.Contains(env, restart+"=1") {
			t.Errorf("%s: environment %q, want GLIBC_TUNABLES=%s and %s", c.name, env, c.want, restart)
		}
		// The second start must not start a third.
		if _, again := hugePagesEnv(env, c.thp, c.glibc); again {
			t.Errorf("%s: starts again and again", c.name)
		}
	}
}
