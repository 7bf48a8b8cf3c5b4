package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case outerName:
		outer()
	case innerName:
		inner()
	}
}

// outer is the first process of the new namespaces.
func outer() {
	// The job may send what it likes.
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	says := os.NewFile(4, "report")
	rep := report{}
	var s spec
	err := json.NewDecoder(os.NewFile(3, "job")).Decode(&s)
	if err == nil {
		rep, err = s.outer()
	}
	if err != nil {
		rep.Error = err.Error()
	}
	if err := json.NewEncoder(says).Encode(rep); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func (s spec) outer() (report, error) {
	for _, fd := range []int{3, 4} {
		unix.CloseOnExec(fd)
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return report{}, err
	}
	dir := filepath.Join(s.Root, "work")
	if s.Isolated {
		if err := s.mounts(); err != nil {
			return report{}, err
		}
		dir = "/job"
	} else if err := os.Mkdir(dir, 0o700); err != nil {
		return report{}, err
	}
	user := s.User
	if !s.Isolated {
		user = os.Getuid()
	}
	if err := writeFiles(dir, s.Job.Files, user); err != nil {
		return report{}, err
	}
	if s.Job.Args[0] == "" { // only to see whether all this can be done
		s.Job.Args = []string{"/proc/self/exe"}
	}
	s.Job.Files, s.Job.Stdin = nil, "" // the inside is told on its command line
	told, err := json.Marshal(s)
	if err != nil {
		return report{}, err
	}
	cmd := exec.Command("/proc/self/fd/3", string(told))
	cmd.Args[0] = innerName
	cmd.Dir = dir
	cmd.ExtraFiles = []*os.File{self}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "TMPDIR=/tmp", "LANG=C.UTF-8"}, s.Job.Env...)
	if !s.Isolated {
		cmd.Env[2] = "TMPDIR=" + dir
	}
	if err := cmd.Start(); err != nil {
		return report{}, err
	}
	over := make(chan Outcome, 1)
	done := make(chan struct{})
	go s.watch(cmd.Process, over, done)
	err = cmd.Wait()
	close(done)
	state := cmd.ProcessState
	rep := report{Exit: state.ExitCode(), CPU: state.UserTime() + state.SystemTime()}
	if ws := state.Sys().(syscall.WaitStatus); ws.Signaled() {
		rep.Signal = int(ws.Signal())
	}
	select {
	case rep.Over = <-over:
	default:
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return rep, err
	}
	return rep, nil
}

// watch kills the job when its processes together use too much memory or time.
func (s spec) watch(job *os.Process, over chan<- Outcome, done <-chan struct{}) {
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		memory, cpu := s.usage(job.Pid)
		switch {
		case memory > s.Job.Limits.Memory:
			over <- Memory
		case cpu > s.Job.Limits.CPU:
			over <- Timeout
		default:
			continue
		}
		if s.Isolated {
			unix.Kill(-1, unix.SIGKILL) // all but this process, the first
		} else {
			job.Kill()
		}
		return
	}
}

// usage is the memory in bytes and the processor time of all processes of the sandbox
// but this one; without a sandbox those of the job's first process.
func (s spec) usage(job int) (memory int64, cpu time.Duration) {
	all := []string{strconv.Itoa(job)}
	if s.Isolated {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return 0, 0
		}
		all = all[:0]
		for _, e := range entries {
			if n, err := strconv.Atoi(e.Name()); err == nil && n > 1 {
				all = append(all, e.Name())
			}
		}
	}
	const tick = time.Second / 100 // USER_HZ
	for _, pid := range all {
		m, errM := os.ReadFile("/proc/" + pid + "/statm")
		c, errC := os.ReadFile("/proc/" + pid + "/stat")
		if errM != nil || errC != nil {
			continue // it ended
		}
		var size, resident, shared int64
		if _, err := fmt.Sscan(string(m), &size, &resident, &shared); err == nil {
			memory += (resident - shared) * int64(os.Getpagesize())
		}
		// The name in brackets may hold anything; utime, stime and those of dead
		// children are the 12th to 15th field behind it.
		fields := strings.Fields(string(c[strings.LastIndexByte(string(c), ')')+1:]))
		for i := 11; i < 15 && i < len(fields); i++ {
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			cpu += time.Duration(n) * tick
		}
	}
	return memory, cpu
}

// system is what every job sees of the host, read-only.
var system = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/nix/store"}

// mounts builds the job's file system and makes it the root.
func (s spec) mounts() error {
	at := func(path string) string { return filepath.Join(s.Root, path) }
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	tmpfs := func(path string, size int64, mode string) error {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,nr_inodes=20000,mode=%s", size, mode)); err != nil {
			return fmt.Errorf("mounting a file system in memory: %w", err)
		}
		return nil
	}
	if err := tmpfs(s.Root, 1<<20, "755"); err != nil {
		return err
	}
	if err := tmpfs(at("job"), s.Job.Limits.Disk, "755"); err != nil {
		return err
	}
	if err := tmpfs(at("tmp"), s.Job.Limits.Disk, "1777"); err != nil {
		return err
	}
	for _, path := range append(append([]string{}, system...), s.Job.Read...) {
		if err := bind(path, at(path), true); err != nil {
			return err
		}
	}
	for _, path := range s.Job.Write {
		if err := bind(path, at(path), false); err != nil {
			return err
		}
	}
	for _, device := range []string{"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"} {
		if err := bind(device, at(device), false); err != nil {
			return err
		}
	}
	for i, path := range s.Job.Layer {
		if err := s.layer(path, at(path), at(fmt.Sprintf("tmp/.layer%d", i))); err != nil {
			return err
		}
	}
	if err := os.Chown(at("job"), s.User, s.User); err != nil {
		return err
	}
	if err := os.Mkdir(at("proc"), 0o555); err != nil {
		return err
	}
	if err := unix.Mount("proc", at("proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := os.Mkdir(at(".old"), 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(s.Root, at(".old")); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/.old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the host's files: %w", err)
	}
	return os.Remove("/.old")
}

// bind shows a path of the host at another one. What the host does not have is left
// out; links stay links.
func bind(from, to string, readOnly bool) error {
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else {
		err = os.WriteFile(to, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("showing %s: %w", from, err)
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if readOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, to, unix.AT_RECURSIVE, attr); err != nil {
		return fmt.Errorf("making %s read-only (needs Linux 5.12): %w", from, err)
	}
	return nil
}

// layer shows a folder of the host that may be changed: changes lie in memory.
func (s spec) layer(from, to, changes string) error {
	upper, work := filepath.Join(changes, "upper"), filepath.Join(changes, "work")
	for _, d := range []string{upper, work, to} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for _, d := range []string{changes, upper, work} {
		if err := os.Chown(d, s.User, s.User); err != nil {
			return err
		}
	}
	if strings.ContainsAny(from+changes, ":,\\") {
		return fmt.Errorf("a layer over %q: its name has a sign that mounts do not take", from)
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr", from, upper, work)
	if err := unix.Mount("overlay", to, "overlay", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("a layer over %s: %w", from, err)
	}
	return nil
}
