package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/llm"
	"ftlab/kernel/session"
)

// stepsPerRound is how many training steps a round has: long enough for the time of
// starting it not to matter, short enough for many turns.
const stepsPerRound = 20

// stepRatio compares a training step of a model, a directory or one of [shapes] (LoRA
// r=16, rows x length tokens), through a device server with the same step in process; both sides run the
// same program and differ in their backend.
func stepRatio(name, model string, rows, length int, o options) (result, error) {
	dir, err := os.MkdirTemp("", "ft") // a socket's path must be short
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
	self, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	args := []string{"-worker", "step", model, strconv.Itoa(rows), strconv.Itoa(length)}
	ours, err := startSide(self, append(slices.Clone(args), "session:"+addr)...)
	if err != nil {
		return result{}, err
	}
	peer, err := startSide(self, append(slices.Clone(args), benchBackend())...)
	if err != nil {
		return result{}, errors.Join(err, ours.cmd.Process.Kill())
	}
	v, err := versus(ours, peer, max(o.rounds, 3)*3)
	a, b := v.ours, v.peer
	return result{Name: name, Ratio: a / b, Better: "lower", Ours: a / stepsPerRound, Peer: b / stepsPerRound, Unit: "ms/step", MS: a / stepsPerRound, Rounds: max(o.rounds, 3) * 3}, err
}

// benchBackend is what computes on both sides.
func benchBackend() string {
	if name := os.Getenv(backend.Env); name != "" {
		return name
	}
	return backend.CPU
}

// stepsRound takes steps on a model of a directory.
func stepsRound(args []string) (func() error, error) {
	var s shape
	if len(args) != 4 {
		return nil, fmt.Errorf("step MODEL ROWS LENGTH BACKEND, not %q", args)
	}
	var err error
	if s.batch, err = strconv.Atoi(args[1]); err != nil {
		return nil, err
	}
	if s.t, err = strconv.Atoi(args[2]); err != nil {
		return nil, err
	}
	b, err := backend.Open(args[3])
	if err != nil {
		return nil, err
	}
	var m *llm.Model
	if known, ok := shapes[args[0]]; ok {
		m, err = newModelOn(b, known)
	} else {
		m, err = llm.Load(b, args[0], llm.LoadOptions{})
	}
	if err != nil {
		return nil, err
	}
	step, err := loraStep(m, s)
	if err != nil {
		return nil, err
	}
	return func() error {
		for range stepsPerRound {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
