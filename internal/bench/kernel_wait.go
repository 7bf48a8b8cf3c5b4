package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/lab"
	"ftlab/kernel/session"
)

// waits measures what somebody at a notebook waits for, through a Jupyter client and the
// installed kernel (see latency.py). The first round, which loads and compiles, does not
// count.
func waits(name string, o options) (result, error) {
	dir, err := os.MkdirTemp("", "ft") // a socket's path must be short
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	addr := filepath.Join(dir, "s", "device.sock")
	cmd := exec.Command(o.python, o.client, o.kernels, name, strconv.Itoa(max(o.rounds, 3)))
	cmd.Env = append(plainEnv(), session.EnvAddr+"="+addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if server, none := session.Connect(addr); none == nil { // the kernel leaves it running
		err = errors.Join(err, server.Stop())
	}
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", name, err)
	}
	var ms []float64
	for _, line := range strings.Fields(string(out))[1:] {
		v, err := strconv.ParseFloat(line, 64)
		if err != nil {
			return result{}, fmt.Errorf("%s: %w", name, err)
		}
		ms = append(ms, v)
	}
	return result{Name: name, MS: median(ms), Rounds: len(ms)}, nil
}

// secondProcess measures from the start of a process, built as a cell is, to the loss of
// its first training step: of a resident model whose adapter another process has trained.
func secondProcess(o options) (result, error) {
	dir, err := os.MkdirTemp("", "ft")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	addr := filepath.Join(dir, "s", "device.sock")
	server, err := session.Start(addr, o.ft, "device", "run", "--backend", benchBackend())
	if err != nil {
		return result{}, err
	}
	defer server.Stop()
	var ms []float64
	for i := range max(o.rounds, 3) + 2 {
		cmd := exec.Command(o.cell, "-worker", "first", o.model)
		cmd.Env = append(plainEnv(), backend.Env+"=session:", session.EnvAddr+"="+addr)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		begin := time.Now()
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return result{}, err
		}
		line := make([]byte, 64)
		n, _ := out.Read(line)
		took := time.Since(begin)
		if err := cmd.Wait(); err != nil || n == 0 {
			return result{}, fmt.Errorf("the process that takes a step: %v: %s", err, errs.String())
		}
		if i >= 2 { // one that loads and compiles, one that makes nothing new
			ms = append(ms, took.Seconds()*1e3)
		}
	}
	return result{Name: "second_process_first_step", MS: median(ms), Rounds: len(ms)}, nil
}

// firstStep is what that process does: it binds the model, takes a step, prints, and keeps
// what it has trained.
func firstStep(model string) error {
	const name = "trained by the process before"
	m, err := lab.Model(name)
	if err != nil {
		if m, err = lab.Model(model); err != nil {
			return err
		}
		if _, err := m.NewAdapter(ftlib.LoRA{R: 16, Alpha: 32}, 1); err != nil {
			return err
		}
	}
	step, err := stepOf(m, shape{batch: 4, t: 64})
	if err != nil {
		return err
	}
	loss, err := step()
	if err != nil {
		return err
	}
	fmt.Println(loss)
	return lab.Keep(name, m)
}
