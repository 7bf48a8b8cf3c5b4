// Package sandbox runs programs that nobody has read, such as code that a model
// wrote, so that they can harm nothing but themselves.
//
//	r, err := sandbox.Run(ctx, sandbox.Job{
//		Files: map[string]string{"main.py": "print(6*7)"},
//		Args:  []string{"/usr/bin/python3", "-I", "main.py"},
//	})
//	r.Outcome, r.Stdout // ok, "42\n"
//
// A job runs in namespaces of its own (user, mount, process, network, IPC, host name):
// it sees a fresh directory /job in memory, a private /tmp, the system's programs and
// libraries read-only, and nothing else of the host: no /etc, no home directories, no
// other processes, no network, not even the loopback interface. A seccomp filter denies
// sockets, tracing, mounting and further namespaces. Limits hold for address space,
// memory of all its processes together, processor time, wall-clock time, size of files
// and of all files, number of processes and of open files, and output. Whatever the job
// started dies with it.
//
// Where the kernel does not permit this, [Run] refuses with the reason, and so does
// [Available]. Job.Unsafe runs the program all the same, with the limits alone.
//
// [Judge] runs a solution in Python or Go against tests.
//
// The program that imports this package starts itself again as the inside of the
// sandbox, before its main function runs: an import is all that is needed.
package sandbox
