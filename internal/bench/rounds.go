package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// side is a worker process that runs one round when told and answers with the
// milliseconds that it took.
type side struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// plainEnv is the environment without the malloc setting that this program gave
// itself: every program measured decides for itself, as when a user starts it.
func plainEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "GLIBC_TUNABLES=") })
}

func startSide(program string, args ...string) (*side, error) {
	s := &side{cmd: exec.Command(program, args...)}
	s.cmd.Env = plainEnv()
	s.cmd.Stderr = io.Discard
	if os.Getenv("FTLAB_BENCH_VERBOSE") != "" {
		s.cmd.Stderr = os.Stderr
	}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := s.answer(); err != nil { // "ready"
		return nil, fmt.Errorf("%s %s does not start: %w (FTLAB_BENCH_VERBOSE=1 shows why)", program, strings.Join(args, " "), err)
	}
	return s, nil
}

func (s *side) answer() (string, error) {
	if !s.out.Scan() {
		return "", fmt.Errorf("it ended: %v", s.cmd.Wait())
	}
	return s.out.Text(), nil
}

func (s *side) round() (float64, error) {
	if _, err := fmt.Fprintln(s.in, "go"); err != nil {
		return 0, err
	}
	line, err := s.answer()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(line, 64)
}

// peak ends the worker and returns its peak resident size in GiB.
func (s *side) peak() float64 {
	s.in.Close()
	_ = s.cmd.Wait()
	return peakOf(s.cmd)
}

func peakOf(cmd *exec.Cmd) float64 {
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return float64(ru.Maxrss) / (1 << 20)
	}
	return 0
}

// versusResult are medians of rounds, ms, and peaks, GiB.
type versusResult struct{ ours, peer, peak, peerPeak float64 }

// versus lets two workers take turns.
func versus(ours, peer *side, rounds int) (r versusResult, err error) {
	var va, vb []float64
	for i := range rounds {
		sides := []*side{ours, peer}
		if i%2 == 1 { // neither is always first
			sides = []*side{peer, ours}
		}
		for _, s := range sides {
			ms, err := s.round()
			if err != nil {
				return r, err
			}
			if s == ours {
				va = append(va, ms)
			} else {
				vb = append(vb, ms)
			}
			time.Sleep(50 * time.Millisecond) // let spinning threads of the other side settle
		}
	}
	return versusResult{median(va), median(vb), ours.peak(), peer.peak()}, nil
}

// pair starts both workers of a bench.
func pair(o options, kind string, args ...string) (ours, peer *side, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	if ours, err = startSide(self, append([]string{"-worker", kind}, args...)...); err != nil {
		return nil, nil, err
	}
	peer, err = startSide(o.python, append([]string{o.peer, kind}, args...)...)
	return ours, peer, err
}

func trainBench(config string, o options) (result, error) {
	ours, peer, err := pair(o, "train", config)
	if err != nil {
		return result{}, err
	}
	v, err := versus(ours, peer, o.rounds)
	return result{Name: config, Ratio: v.peer / v.ours, Better: "higher", Ours: v.ours, Peer: v.peer, Unit: "ms/step", MS: v.ours, PeakGiB: v.peak, Rounds: o.rounds}, err
}

func decodeBench(batch int, o options) (result, error) {
	ours, peer, err := pair(o, "decode", strconv.Itoa(batch))
	if err != nil {
		return result{}, err
	}
	v, err := versus(ours, peer, o.rounds)
	return result{Name: fmt.Sprintf("decode_%d", batch), Ratio: v.peer / v.ours, Better: "higher", Ours: v.ours, Peer: v.peer, Unit: "ms/64 tok", MS: v.ours, PeakGiB: v.peak, Rounds: o.rounds}, err
}
