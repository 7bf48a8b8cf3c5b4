package session

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ftlab/kernel/internal/wire"
)

// EnvReady is set for a server that is started by [Start]: somebody waits for [Ready].
const EnvReady = "FTLAB_DEVICE_READY"

// Ready is what a server that was started by [Start] writes to its file descriptor 3
// when it listens. Anything else there says why it does not.
const Ready = "ready\n"

// Start connects to the server at addr ("" for [DefaultAddr]), and starts it with a
// command if there is none: of two programs that do so at once, one starts it. The
// server is detached from this program's terminal and writes to device.log beside its
// socket; what the one before it wrote is in device.log.1.
func Start(addr string, command ...string) (*Backend, error) {
	b, err := connectPatiently(addr)
	if err == nil || !errors.Is(err, ErrNoServer) || len(command) == 0 {
		return b, err
	}
	full, addrErr := address(addr)
	if addrErr != nil {
		return nil, addrErr
	}
	if addr = full; Remote(addr) { // it is started on its own machine
		return nil, err
	}
	if err := wire.PrivateDir(filepath.Dir(addr)); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	release, err := wire.Lock(addr+".start", true)
	if err != nil {
		return nil, fmt.Errorf("session: %s.start: %w", addr, err)
	}
	defer release()
	if b, err = connectPatiently(addr); err == nil || !errors.Is(err, ErrNoServer) {
		return b, err
	}
	if err := spawn(addr, command); err != nil {
		return nil, fmt.Errorf("session: start of the device server %q: %w", strings.Join(command, " "), err)
	}
	return Connect(addr)
}

// patience is how long a server that is about to end is waited for.
const patience = time.Minute

// connectPatiently tries again when it meets a server that is about to end.
func connectPatiently(addr string) (b *Backend, err error) {
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if b, err = Connect(addr); !errors.Is(err, ErrLost) || time.Now().After(end) {
			return b, err
		}
	}
}

// spawn returns when the server listens, or has ended.
func spawn(addr string, command []string) error {
	logPath := filepath.Join(filepath.Dir(addr), "device.log")
	if err := os.Rename(logPath, logPath+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), EnvAddr+"="+addr, EnvReady+"=3", "FTLAB_DETACHED=1") // not one of the processes of a notebook kernel
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = logFile, logFile, []*os.File{w}
	wire.Detach(cmd)
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	go cmd.Wait() // reaped if it ends before this program
	said, err := io.ReadAll(r)
	if err == nil && string(said) != Ready {
		err = fmt.Errorf("it ended (see %s): %s", logPath, strings.TrimSpace(string(said)))
	}
	return err
}
