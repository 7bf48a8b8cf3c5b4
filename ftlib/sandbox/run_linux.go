package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// What the program is called when it starts itself: outer sets the namespaces up and
// watches, inner drops all rights and becomes the job.
const (
	outerName = "ftlab-sandbox-outer"
	innerName = "ftlab-sandbox-inner"
)

// spec is what the outer process is told, as JSON on descriptor 3.
type spec struct {
	Job      Job
	Root     string // an empty folder of the host to mount on
	User     int    // to become inside; 0: stay
	Isolated bool
}

// report is what it says at the end, as JSON on descriptor 4.
type report struct {
	Error  string // the sandbox could not be set up
	Exit   int
	Signal int
	CPU    time.Duration
	Over   Outcome // Memory or Timeout: killed for that
}

func unavailable(reason string) error {
	return fmt.Errorf("%w: %s. Code is run only inside namespaces (user, mount, pid, net): permit unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; in a container: --security-opt seccomp=unconfined), or set Unsafe to run it without protection", ErrUnavailable, reason)
}

func run(ctx context.Context, job Job, isolated bool) (Result, error) {
	job.Limits = job.Limits.filled()
	root, err := os.MkdirTemp("", "ftlab-sandbox-")
	if err != nil {
		return Result{}, fmt.Errorf("sandbox: %w", err)
	}
	defer os.RemoveAll(root)
	s := spec{Job: job, Root: root, Isolated: isolated}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if isolated {
		attr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		if os.Geteuid() == 0 {
			s.User = nobody
			own := syscall.SysProcIDMap{ContainerID: nobody, HostID: nobody, Size: 1}
			attr.UidMappings, attr.GidMappings = append(attr.UidMappings, own), append(attr.GidMappings, own)
			attr.GidMappingsEnableSetgroups = true
		}
	}
	told, err := json.Marshal(s)
	if err != nil {
		return Result{}, fmt.Errorf("sandbox: %w", err)
	}
	toldR, toldW, err := os.Pipe()
	if err != nil {
		return Result{}, fmt.Errorf("sandbox: %w", err)
	}
	saysR, saysW, err := os.Pipe()
	if err != nil {
		return Result{}, errors.Join(err, toldR.Close(), toldW.Close())
	}
	defer saysR.Close()

	limit, stop := context.WithTimeout(ctx, job.Limits.Wall)
	defer stop()
	cmd := exec.CommandContext(limit, "/proc/self/exe")
	cmd.Args = []string{outerName}
	cmd.Env = []string{}
	cmd.SysProcAttr = attr
	cmd.ExtraFiles = []*os.File{toldR, saysW}
	cmd.Stdin = bytes.NewReader([]byte(job.Stdin))
	flooded := func() { cmd.Process.Kill() }
	stdout, stderr := &capped{max: job.Limits.Output, full: flooded}, &capped{max: job.Limits.Output, full: flooded}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = time.Second
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

	// Pdeathsig is the death of the thread that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	from := time.Now()
	err = cmd.Start()
	toldR.Close()
	saysW.Close()
	if err != nil {
		toldW.Close()
		if isolated && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSYS)) {
			return Result{}, unavailable(fmt.Sprintf("the kernel permits no new namespaces: %v", err))
		}
		return Result{}, fmt.Errorf("sandbox: %w", err)
	}
	_, err = toldW.Write(told)
	err = errors.Join(err, toldW.Close())
	said, readErr := io.ReadAll(io.LimitReader(saysR, 1<<20))
	waitErr := cmd.Wait()
	if !isolated {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left running
	}
	r := Result{Wall: time.Since(from), Isolated: isolated, Stdout: stdout.String(), Stderr: stderr.String()}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	var rep report
	switch {
	case limit.Err() != nil:
		r.Outcome, r.Reason, r.ExitCode = Timeout, fmt.Sprintf("still running after %v", job.Limits.Wall), -1
		return r, nil
	case stdout.over() || stderr.over():
		r.Outcome, r.Reason, r.ExitCode = Output, fmt.Sprintf("wrote more than %d bytes", job.Limits.Output), -1
		return r, nil
	case json.Unmarshal(said, &rep) != nil && isolated && job.Args[0] != "":
		r.Outcome, r.Reason, r.ExitCode = Signal, "the sandbox was killed, from inside or for lack of memory", -1
		return r, nil
	case json.Unmarshal(said, &rep) != nil:
		return r, fmt.Errorf("sandbox: its watcher ended without a word: %w", errors.Join(waitErr, readErr, err, errors.New(lastLine(r.Stderr))))
	case rep.Error != "" && isolated && job.Args[0] == "":
		return r, unavailable(rep.Error)
	case rep.Error != "":
		return r, fmt.Errorf("sandbox: %s", rep.Error)
	}
	r.judge(rep, job.Limits)
	return r, nil
}

// judge says how a program ended.
func (r *Result) judge(rep report, l Limits) {
	r.ExitCode, r.CPU = rep.Exit, rep.CPU
	sig := syscall.Signal(rep.Signal)
	switch {
	case rep.Over == Memory:
		r.Outcome, r.Reason = Memory, fmt.Sprintf("used more than %d MiB", l.Memory>>20)
	case rep.Over == Timeout, sig == syscall.SIGXCPU, sig == syscall.SIGKILL && r.CPU >= l.CPU:
		r.Outcome, r.Reason = Timeout, fmt.Sprintf("used %v of processor time", l.CPU)
	case sig == syscall.SIGXFSZ:
		r.Outcome, r.Reason = FileSize, fmt.Sprintf("wrote a file of more than %d bytes", l.FileSize)
	case rep.Signal != 0:
		r.Outcome, r.Reason = Signal, fmt.Sprintf("killed by signal %d (%v)", rep.Signal, sig)
		explain(r)
	case rep.Exit != 0:
		r.Outcome, r.Reason = Exit, fmt.Sprintf("exit code %d: %s", rep.Exit, lastLine(r.Stderr))
		explain(r)
	default:
		r.Outcome = OK
	}
}

// capped keeps the first max bytes that are written, and calls full at the first byte
// beyond.
type capped struct {
	mu    sync.Mutex
	b     bytes.Buffer
	max   int
	full  func()
	spilt bool
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := c.max - c.b.Len()
	c.b.Write(p[:min(room, len(p))])
	if len(p) > room && !c.spilt {
		c.spilt = true
		c.full()
	}
	return len(p), nil
}

func (c *capped) String() string { c.mu.Lock(); defer c.mu.Unlock(); return c.b.String() }
func (c *capped) over() bool     { c.mu.Lock(); defer c.mu.Unlock(); return c.spilt }

// writeFiles puts the job's files below dir.
func writeFiles(dir string, files map[string]string, uid int) error {
	for name, content := range files {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("file name %q leaves the working directory", name)
		}
		path := filepath.Join(dir, name)
		for d := filepath.Dir(path); d != dir; d = filepath.Dir(d) {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
			if err := os.Lchown(d, uid, uid); err != nil {
				return err
			}
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
		if err := os.Lchown(path, uid, uid); err != nil {
			return err
		}
	}
	return nil
}
