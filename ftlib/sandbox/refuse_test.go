package sandbox_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ftlab/ftlib/sandbox"
)

// Where the kernel permits no namespaces nothing is run, and the error says why; Unsafe
// runs it with the limits alone. The test makes such a place and runs itself there.
func TestRefusesWithoutNamespaces(t *testing.T) {
	if os.Getenv("FTLAB_TEST_NO_NAMESPACES") == "" {
		unshare, err := exec.LookPath("unshare")
		if err != nil || sandbox.Available() != nil {
			t.Skip("SKIPPED: needs unshare and namespaces")
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(unshare, "-Ur", "sh", "-c", `echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -test.v -test.run '^TestRefusesWithoutNamespaces$'`, self)
		cmd.Env = append(os.Environ(), "FTLAB_TEST_NO_NAMESPACES=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	check := sandbox.Tests{Check: "assert x == 1"}
	_, err := sandbox.Judge(context.Background(), "x = 1", check, sandbox.Options{})
	if !errors.Is(err, sandbox.ErrUnavailable) || !strings.Contains(err.Error(), "permits no new namespaces") || !strings.Contains(err.Error(), "Unsafe") {
		t.Errorf("it ran: %v", err)
	}
	o := small
	o.Unsafe = true
	for code, want := range map[string]sandbox.Outcome{"x = 1": sandbox.OK, "x = 2": sandbox.Wrong, "while True: pass": sandbox.Timeout, "x = bytearray(10**10)": sandbox.Memory} {
		v, err := sandbox.Judge(context.Background(), code, check, o)
		if err != nil || v.Outcome != want || v.Runs[0].Isolated {
			t.Errorf("%s: %v %+v", code, err, v)
		}
	}
}
