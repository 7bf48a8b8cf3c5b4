package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inner gives up every right and becomes the job. What it cannot do it writes to
// standard error and ends with 126, as a shell does.
func inner() {
	runtime.LockOSThread()
	var s spec
	if err := json.Unmarshal([]byte(os.Args[1]), &s); err != nil {
		fail("reading the job", err)
	}
	unix.CloseOnExec(3)
	if len(s.Job.Args) == 1 && s.Job.Args[0] == "/proc/self/exe" { // a trial
		s.lock()
		os.Exit(0)
	}
	path, err := syscall.BytePtrFromString(s.Job.Args[0])
	if err != nil {
		fail("the program's name", err)
	}
	args, err := syscall.SlicePtrFromStrings(s.Job.Args)
	if err != nil {
		fail("the program's arguments", err)
	}
	env, err := syscall.SlicePtrFromStrings(os.Environ())
	if err != nil {
		fail("the environment", err)
	}
	address := unix.Rlimit{Cur: uint64(s.Job.Limits.Address), Max: uint64(s.Job.Limits.Address)}
	s.lock()
	// From here nothing is allocated: this process itself may be larger than allowed.
	_, _, errno := syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_AS, uintptr(unsafe.Pointer(&address)), 0, 0, 0)
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])))
	}
	fail("starting "+s.Job.Args[0], errno)
}

// lock sets the limits and drops the rights of this thread.
func (s spec) lock() {
	l := s.Job.Limits
	seconds := uint64((l.CPU.Seconds()) + 0.999)
	for resource, v := range map[int]uint64{
		unix.RLIMIT_CPU: seconds, unix.RLIMIT_FSIZE: uint64(l.FileSize), unix.RLIMIT_NOFILE: uint64(l.Files),
		unix.RLIMIT_CORE: 0, unix.RLIMIT_NPROC: uint64(l.Processes), unix.RLIMIT_MEMLOCK: 1 << 20, unix.RLIMIT_MSGQUEUE: 0,
	} {
		if resource == unix.RLIMIT_NPROC && !s.Isolated {
			continue // it would count all of this user's processes
		}
		limit := unix.Rlimit{Cur: v, Max: v}
		if resource == unix.RLIMIT_CPU {
			limit.Max++ // SIGXCPU first, then SIGKILL
		}
		if err := unix.Prlimit(0, resource, &limit, nil); err != nil {
			fail(fmt.Sprintf("limit %d", resource), err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fail("no new privileges", err)
	}
	if !s.Isolated {
		return
	}
	for c := uintptr(0); c <= 63; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			break // beyond the last capability
		}
	}
	const noRoot = 1<<0 | 1<<1 // SECBIT_NOROOT and its lock: user 0 is nobody special here
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noRoot, 0, 0, 0); err != nil {
		fail("dropping root's rights", err)
	}
	if s.User != 0 {
		id := uintptr(s.User)
		// Raw calls: they change this thread, the one that becomes the job.
		if _, _, e := syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
			fail("dropping groups", e)
		}
		if _, _, e := syscall.RawSyscall(unix.SYS_SETRESGID, id, id, id); e != 0 {
			fail("changing the group", e)
		}
		if _, _, e := syscall.RawSyscall(unix.SYS_SETRESUID, id, id, id); e != 0 {
			fail("changing the user", e)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		fail("dropping capabilities", err)
	}
	if err := filter(); err != nil {
		fail("filtering system calls", err)
	}
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "sandbox: %s: %v\n", what, err)
	os.Exit(126)
}

// denied are system calls that no solution needs and that reach far into the kernel or
// outside: they fail with EACCES. Sockets have no network here; denying them says so at
// once.
var denied = []uint32{
	unix.SYS_SOCKET, unix.SYS_PTRACE, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_USERFAULTFD,
	unix.SYS_IO_URING_SETUP, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KEXEC_LOAD, unix.SYS_INIT_MODULE,
	unix.SYS_FSOPEN, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_PERSONALITY, unix.SYS_QUOTACTL,
}

// filter installs the seccomp filter for this thread and what it executes.
func filter() error {
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok {
		return nil // namespaces do without
	}
	stmt := func(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }
	jump := func(code uint16, k uint32, jt, jf uint8) unix.SockFilter {
		return unix.SockFilter{Code: code, K: k, Jt: jt, Jf: jf}
	}
	const load, equal, atLeast, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	program := []unix.SockFilter{
		stmt(load, 4), // seccomp_data.arch: no 32-bit calls past the list
		jump(equal, arch, 1, 0),
		stmt(ret, unix.SECCOMP_RET_KILL_PROCESS),
		stmt(load, 0), // seccomp_data.nr
	}
	if runtime.GOARCH == "amd64" { // nor those of x32
		program = append(program, jump(atLeast, 0x40000000, 0, 1), stmt(ret, unix.SECCOMP_RET_KILL_PROCESS))
	}
	for _, nr := range denied {
		program = append(program, jump(equal, nr, 0, 1), stmt(ret, unix.SECCOMP_RET_ERRNO|uint32(unix.EACCES)))
	}
	program = append(program, stmt(ret, unix.SECCOMP_RET_ALLOW))
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, e := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); e != 0 {
		return e
	}
	return nil
}
