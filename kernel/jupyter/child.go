//go:build unix

package jupyter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a gonb that runs below a reaper, and the connection to it.
type child struct {
	cmd    *exec.Cmd
	keep   io.Closer // the reaper lives as long as it is open
	dir    string
	ch     *channels
	stop   context.CancelFunc
	done   chan struct{} // closed when the reaper has ended
	result string        // file that cells write results to
	tuned  bool          // it was told how to work

	mu      sync.Mutex
	waiting map[string]*waiter // by id of the request
}

// waiter waits for the answer to a request.
type waiter struct {
	request *Message
	reply   chan *Message
	idle    chan struct{}
	once    sync.Once
	output  *output // of a cell; nil for other requests
}

// startChild starts gonb and returns when it answers. name is that of the front end's
// connection file: gonb finds the id of the kernel in it.
func startChild(ctx context.Context, cfg Config, name string, got func(*child, string, *Message)) (_ *child, err error) {
	dir, err := os.MkdirTemp("", "ftk")
	if err != nil {
		return nil, fmt.Errorf("jupyter: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	c := &child{dir: dir, stop: stop, done: make(chan struct{}), result: filepath.Join(dir, "result"), waiting: map[string]*waiter{}}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	conn := Connection{Transport: "ipc", IP: filepath.Join(dir, "s"), Shell: 1, Control: 2, Stdin: 3, IOPub: 4, Heartbeat: 5, Key: randomID(), Scheme: "hmac-sha256"}
	file := filepath.Join(dir, name)
	if err := conn.write(file); err != nil {
		return nil, fmt.Errorf("jupyter: %w", err)
	}
	argv := append(append(append([]string{}, cfg.Reaper...), dir), cfg.Command...)
	argv = append(argv, "--kernel", file, "--raw_error", "--logtostderr=false", "--stderrthreshold=FATAL", "--log_file="+filepath.Join(dir, "gonb.log"))
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.Env = append(append(os.Environ(), cfg.Env...), resultEnv+"="+c.result, "TMPDIR="+dir)
	if cfg.Cache != "" { // the kernel has a gopls of its own
		if path, err := hideGopls(os.Getenv("PATH"), filepath.Join(dir, "bin")); err == nil {
			c.cmd.Env = append(c.cmd.Env, "PATH="+path)
		}
	}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.cmd.Stderr = cfg.Log
	c.cmd.WaitDelay = time.Second
	if c.keep, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("jupyter: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("jupyter: %w", err)
	}
	go func() {
		c.cmd.Wait()
		killSession(c.cmd.Process.Pid) // of a reaper that was killed
		os.RemoveAll(dir)
		stop()
		close(c.done)
	}()
	if c.ch, err = dial(ctx, conn); err != nil {
		return nil, fmt.Errorf("jupyter: gonb does not listen; was it ended? %w", err)
	}
	for _, from := range []struct {
		name string
		ch   *channel
	}{{"shell", c.ch.shell}, {"control", c.ch.control}, {"stdin", c.ch.stdin}, {"iopub", c.ch.iopub}} {
		go from.ch.receive(ctx, func(m *Message) { got(c, from.name, m) }, func(err error) { fmt.Fprintln(cfg.Log, "gonb:", err) })
	}
	// A subscription takes a moment: gonb is ready when its idle is heard.
	for range 100 {
		probe, err := NewMessage("kernel_info_request", randomID(), nil, struct{}{})
		if err != nil {
			return nil, err
		}
		w := c.expect(probe, nil)
		if err := c.ch.shell.send(probe); err != nil {
			return nil, fmt.Errorf("jupyter: %w", err)
		}
		select {
		case <-w.idle:
			c.forget(probe)
			return c, nil
		case <-c.done:
			return nil, errors.New("jupyter: gonb ended at its start")
		case <-time.After(100 * time.Millisecond):
			c.forget(probe)
		}
	}
	return nil, errors.New("jupyter: gonb does not answer")
}

func (c *child) expect(m *Message, out *output) *waiter {
	w := &waiter{request: m, reply: make(chan *Message, 1), idle: make(chan struct{}), output: out}
	c.mu.Lock()
	c.waiting[m.Head.ID] = w
	c.mu.Unlock()
	return w
}

func (c *child) forget(m *Message) {
	c.mu.Lock()
	delete(c.waiting, m.Head.ID)
	c.mu.Unlock()
}

func (c *child) waiter(id string) *waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting[id]
}

var errChildGone = errors.New("jupyter: gonb has ended")

// ask sends a request and waits for the reply and for all output before it.
func (c *child) ask(m *Message, out *output) (*Message, error) {
	w := c.expect(m, out)
	defer c.forget(m)
	if err := c.ch.shell.send(m); err != nil {
		select { // a socket may know before the process is buried
		case <-c.done:
			return nil, errChildGone
		case <-time.After(2 * time.Second):
			return nil, fmt.Errorf("jupyter: %w", err)
		}
	}
	var reply *Message
	select {
	case reply = <-w.reply:
	case <-c.done:
		return nil, errChildGone
	}
	select {
	case <-w.idle:
	case <-c.done:
	case <-time.After(2 * time.Second):
	}
	return reply, nil
}

// hideGopls is the search path without gopls, which gonb would start and keep busy for
// many seconds: what else is in its folders is linked from folders below dir.
func hideGopls(path, dir string) (string, error) {
	list := filepath.SplitList(path)
	for i, folder := range list {
		if _, err := os.Stat(filepath.Join(folder, "gopls")); err != nil {
			continue
		}
		entries, err := os.ReadDir(folder)
		if err != nil {
			return "", err
		}
		list[i] = filepath.Join(dir, strconv.Itoa(i))
		if err := os.MkdirAll(list[i], 0o700); err != nil {
			return "", err
		}
		for _, e := range entries {
			target, err := filepath.Abs(filepath.Join(folder, e.Name()))
			if err != nil || e.Name() == "gopls" {
				continue
			}
			if err := os.Symlink(target, filepath.Join(list[i], e.Name())); err != nil {
				return "", err
			}
		}
	}
	return strings.Join(list, string(filepath.ListSeparator)), nil
}

// alive says whether gonb runs.
func (c *child) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// pid of gonb; 0 when it is not known.
func (c *child) pid() int {
	data, err := os.ReadFile(filepath.Join(c.dir, pidFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return pid
}

// interrupt sends SIGINT to what runs for the cell, and SIGKILL to what of it is still
// there after the time of grace.
func (c *child) interrupt(grace time.Duration, over func() bool) {
	gonb := c.pid()
	if gonb == 0 {
		return
	}
	// A cell may be on its way: to its compiler, or from there to its program. What comes
	// up until it is over is interrupted too.
	go func() {
		told := map[int]bool{}
		for until := time.Now().Add(grace); !over() && time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
			for _, pid := range working(gonb) {
				if !told[pid] && !over() {
					told[pid] = true
					syscall.Kill(pid, syscall.SIGINT)
				}
			}
		}
		if over() {
			return
		}
		for _, pid := range working(gonb) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
}

// close ends gonb and everything below it.
func (c *child) close() {
	if c.keep != nil {
		c.keep.Close()
	}
	if c.cmd != nil && c.cmd.Process != nil {
		select {
		case <-c.done:
		case <-time.After(5 * time.Second):
			c.cmd.Process.Kill()
			<-c.done
		}
	}
	c.stop()
	if c.ch != nil {
		c.ch.close()
	}
	os.RemoveAll(c.dir)
}
