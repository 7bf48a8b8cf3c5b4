package backend

import (
	"slices"
	"testing"
)

func TestHugePagesEnv(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		thp     string
		glibc   bool
		want    string // GLIBC_TUNABLES of the second start; empty: none
	}{
		{"plain", []string{"A=b"}, "madvise", true, "glibc.malloc.hugetlb=1"},
		{"always", nil, "always", true, "glibc.malloc.hugetlb=1"},
		{"kept tunables", []string{"GLIBC_TUNABLES=glibc.malloc.arena_max=2"}, "madvise", true, "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"},
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
