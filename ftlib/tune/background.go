package tune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
)

// Program names the variable that says which ft program trains runs in the background.
const Program = "FTLAB_FT"

// Detached is set in the environment of a run in the background: it is not one of the
// processes that go with a cell or a kernel.
const Detached = "FTLAB_DETACHED"

// Background is a run in a process of its own. It goes on when this process ends.
type Background struct {
	Dir string // of the run
}

// Start trains a specification in the background: in a process of its own (ft train),
// which outlives this one, the cell and the kernel. It computes where this process
// would: the environment is inherited, and with it the device server. Start returns
// when the process has begun to load; what is wrong with the specification, and files
// that are not there, are errors before. What the process prints is in log.txt of the
// run's directory.
//
// Only what a specification says can be trained so. A loss or a reward in Go code of a
// cell lives in the cell: train it there, with [Run] and a live chart. It is kept in a
// run directory too, takes the same commands from other processes, and is resumed by
// running the cell again with [Options.Resume].
func Start(run ftlib.Run) (*Background, error) {
	if err := run.Validate(); err != nil {
		return nil, err
	}
	program, err := findProgram()
	if err != nil {
		return nil, err
	}
	if err := lookAround(run); err != nil {
		return nil, err
	}
	named := run.Name != ""
	r := run.Resolve()
	run.Name, run.Out = r.Name, r.Out
	for i := 2; !named && ckpt.Known(run.Dir()); i++ { // two in one second
		run.Name = fmt.Sprintf("%s-%d", r.Name, i)
	}
	if err := ckpt.Prepare(run.Dir(), run); err != nil {
		return nil, fmt.Errorf("tune: %w", err)
	}
	b, err := launch(run.Dir(), "", program, "train", ckpt.StartFile(run.Dir()))
	if err != nil && !ckpt.Is(run.Dir()) {
		return nil, errors.Join(err, ckpt.Withdraw(run.Dir())) // said here, and the name is free again
	}
	return b, err
}

// StartResume goes on with a run in the background, as [Resume] does in this process.
func StartResume(dir string) (*Background, error) {
	if !ckpt.Known(dir) {
		return nil, fmt.Errorf("tune: %s is not a run", dir)
	}
	if ckpt.Alive(dir) {
		return nil, fmt.Errorf("tune: %s: %w", dir, ckpt.ErrBusy)
	}
	program, err := findProgram()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("tune: %w", err)
	}
	env, _ := ckpt.ReadEnv(dir) // without one: paths are relative to here
	if info, err := os.Stat(env.Folder); err != nil || !info.IsDir() {
		env.Folder = ""
	}
	return launch(dir, env.Folder, program, "runs", "resume", dir)
}

// Attach takes hold of a run that another process has started.
func Attach(dir string) (*Background, error) {
	if !ckpt.Known(dir) {
		return nil, fmt.Errorf("tune: %s is not a run", dir)
	}
	return &Background{Dir: dir}, nil
}

// lookAround finds what is missing before a process is started that would only find it
// later: the model, the adapter and the data.
func lookAround(run ftlib.Run) error {
	if _, err := llm.Resolve(run.Model.Path); err != nil {
		return fmt.Errorf("tune: model.path: %w", err)
	}
	if run.Model.Adapter != "" {
		if err := present("model.adapter", run.Model.Adapter, "a PEFT adapter directory"); err != nil {
			return err
		}
	}
	for _, path := range []string{run.Data.Train, run.Data.Validation} {
		if path == "" {
			continue
		}
		if _, err := corpus.Resolve(path, corpus.OpenOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// findProgram finds ft: the one that is named, this program, or the one in the PATH.
func findProgram() (string, error) {
	if name := os.Getenv(Program); name != "" {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("tune: %s: %w", Program, err)
		}
		return filepath.Abs(path)
	}
	if self, err := os.Executable(); err == nil && strings.TrimSuffix(filepath.Base(self), ".exe") == "ft" {
		return self, nil
	}
	path, err := exec.LookPath("ft")
	if err != nil {
		return "", fmt.Errorf("tune: a run in the background is trained by ft, which is not in the PATH (scripts/lab --setup puts it into .lab/bin); %s names another one", Program)
	}
	return path, nil
}

// launch starts a process in folder (zero: here) that trains dir, and returns when it
// holds the run.
func launch(dir, folder, program string, args ...string) (*Background, error) {
	log, err := os.OpenFile(ckpt.Log(dir), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("tune: %w", err)
	}
	defer log.Close()
	from, err := log.Seek(0, 2)
	if err != nil {
		return nil, fmt.Errorf("tune: %w", err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, folder
	cmd.Env = append(os.Environ(), Detached+"=1")
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("tune: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if ckpt.Alive(dir) || !locks {
			return &Background{Dir: dir}, nil
		}
		select {
		case err := <-ended:
			if err == nil { // a run that was finished before
				return &Background{Dir: dir}, nil
			}
			data, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("tune: %s: %w: %s", dir, err, lastLine(data[min(int(from), len(data)):]))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// lastLine is the last line of a log that says something.
func lastLine(log []byte) string {
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return strings.TrimPrefix(string(lines[len(lines)-1]), "ft: ")
}

// Alive reports whether a process trains the run.
func (b *Background) Alive() bool { return ckpt.Alive(b.Dir) }

// Info reads how the run stands.
func (b *Background) Info() (ckpt.Info, error) { return ckpt.Read(b.Dir) }

// Ask asks the run for something and waits for its answer; see [ckpt.Ask].
func (b *Background) Ask(ctx context.Context, c ckpt.Command) (ftlib.Event, error) {
	return ckpt.Ask(ctx, b.Dir, c)
}

// Set changes a hyperparameter from the run's next step on.
func (b *Background) Set(ctx context.Context, key string, value float64) error {
	_, err := b.Ask(ctx, ckpt.Command{Do: ckpt.DoSet, Key: key, Value: value})
	return err
}

// Stop makes the run save and end, and waits until it has. A run that is over is fine.
func (b *Background) Stop(ctx context.Context) error {
	_, err := b.Ask(ctx, ckpt.Command{Do: ckpt.DoStop})
	if errors.Is(err, ckpt.ErrNotRunning) || err != nil && !b.Alive() {
		return nil
	}
	if err != nil {
		return err
	}
	return b.until(ctx)
}

// Wait waits until no process trains the run any more. A run that failed, or whose
// process is gone without a word, is an error; one that was stopped is none: its
// status says so.
func (b *Background) Wait(ctx context.Context) (ckpt.Info, error) {
	if err := b.until(ctx); err != nil {
		return ckpt.Info{}, err
	}
	in, err := b.Info()
	if err == nil && (in.Status == ckpt.Failed || in.Status == ckpt.Killed) {
		err = fmt.Errorf("tune: %s: %s: %s", b.Dir, in.Status, in.Message)
	}
	return in, err
}

func (b *Background) until(ctx context.Context) error {
	for b.Alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("tune: waiting for %s: %w", b.Dir, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
