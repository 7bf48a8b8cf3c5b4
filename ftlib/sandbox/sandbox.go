package sandbox

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// Outcome says how a job ended.
type Outcome string

// How jobs end.
const (
	OK        Outcome = "ok"           // with exit code 0
	Exit      Outcome = "exit"         // with another exit code
	Signal    Outcome = "signal"       // killed by a signal
	Timeout   Outcome = "timeout"      // out of wall-clock or processor time
	Memory    Outcome = "memory"       // out of memory
	FileSize  Outcome = "file size"    // a file, or all files, grew too large
	Output    Outcome = "output"       // wrote too much
	Processes Outcome = "processes"    // started too many processes
	Compile   Outcome = "compile"      // of Judge: the solution does not compile
	Wrong     Outcome = "wrong output" // of Judge: ran, and failed a test
)

// Limits bound a job; each zero is the default that stands behind it.
type Limits struct {
	Wall      time.Duration // 10 s
	CPU       time.Duration // of all processes together: 5 s
	Memory    int64         // bytes, of all processes together: 512 MiB
	Address   int64         // bytes of address space of each process: Memory + 256 MiB
	FileSize  int64         // bytes of one file: 16 MiB
	Disk      int64         // bytes of all files: 64 MiB
	Processes int           // and threads: 32
	Files     int           // open files: 128
	Output    int           // bytes of standard output and of standard error, each: 256 KiB
}

func orElse[T int | int64 | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

func (l Limits) filled() Limits {
	l.Wall = orElse(l.Wall, 10*time.Second)
	l.CPU = orElse(l.CPU, 5*time.Second)
	l.Memory = orElse(l.Memory, 512<<20)
	l.Address = orElse(l.Address, l.Memory+256<<20)
	l.FileSize = orElse(l.FileSize, 16<<20)
	l.Disk = orElse(l.Disk, 64<<20)
	l.Processes = orElse(l.Processes, 32)
	l.Files = orElse(l.Files, 128)
	l.Output = orElse(l.Output, 256<<10)
	return l
}

// Job is a program to run. The zero value of everything but Args works.
type Job struct {
	Args   []string          // the program, an absolute path, and its arguments
	Files  map[string]string // of /job, where the program starts: name to content
	Stdin  string
	Env    []string // beside PATH, HOME, TMPDIR and LANG
	Limits Limits

	// Read and Write are folders of the host that the job sees under the same path.
	Read, Write []string
	// Layer are folders of the host that the job sees under the same path and may
	// change; what it changes is gone afterwards.
	Layer []string

	// Unsafe runs the program without isolation where a sandbox cannot be had: it can
	// read and write what you can, and use the network.
	Unsafe bool
}

// Result is what became of a job.
type Result struct {
	Outcome        Outcome
	Reason         string // in words; "" for OK
	ExitCode       int    // -1 where a signal ended it
	Stdout, Stderr string
	Wall, CPU      time.Duration
	Isolated       bool // false: ran with Unsafe, without a sandbox
}

// ErrUnavailable is what Run and Available return, wrapped with the reason, where no
// sandbox can be had.
var ErrUnavailable = errors.New("sandbox: not available here")

// Available says why there is no sandbox; nil where there is one. It tries once.
func Available() error { return available() }

var available = sync.OnceValue(func() error {
	r, err := run(context.Background(), Job{Args: []string{""}, Limits: Limits{Wall: 30 * time.Second}}, true)
	if err == nil && r.Outcome != OK {
		err = unavailable(r.Reason)
	}
	return err
})

// Run runs a job to its end. It returns an error where the job could not be started,
// or the context ended: how the program fares is in the result.
func Run(ctx context.Context, job Job) (Result, error) {
	if len(job.Args) == 0 || job.Args[0] == "" {
		return Result{}, errors.New("sandbox: the job has no program: set Args")
	}
	err := Available()
	if err != nil && !job.Unsafe {
		return Result{}, err
	}
	return run(ctx, job, err == nil)
}

// explain finds the reason why a program that was not killed by us failed, from what
// runtimes write when a limit stops them.
func explain(r *Result) {
	last := tailOf(r.Stderr, 4000)
	for _, c := range []struct {
		outcome Outcome
		sign    string
	}{
		{Memory, "MemoryError"}, {Memory, "out of memory"}, {Memory, "cannot allocate memory"}, {Memory, "Cannot allocate memory"}, {Memory, "failed to reserve"}, {Memory, "bad_alloc"},
		{FileSize, "File too large"}, {FileSize, "file too large"}, {FileSize, "No space left on device"}, {FileSize, "no space left on device"},
		{Processes, "Resource temporarily unavailable"}, {Processes, "resource temporarily unavailable"}, {Processes, "can't start new thread"}, {Processes, "failed to create new OS thread"},
	} {
		if strings.Contains(last, c.sign) {
			r.Outcome = c.outcome
			return
		}
	}
}

func tailOf(s string, n int) string {
	if len(s) > n {
		s = s[len(s)-n:]
	}
	return s
}

// lastLine is the last line of a text that says something.
func lastLine(s string) string {
	s = strings.TrimSpace(tailOf(s, 2000))
	return s[strings.LastIndexByte(s, '\n')+1:]
}
