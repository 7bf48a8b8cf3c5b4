package tune

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// completionsFile, in the directory of a run that samples, has every answer that was trained on,
// one a line: ft data show RUN/completions.jsonl.
const completionsFile = "completions.jsonl"

// completion is a line of it.
type completion struct {
	Step       int                  `json:"step"` // the first that it is trained in
	Rollout    int                  `json:"rollout"`
	Prompt     string               `json:"prompt"`
	Completion string               `json:"completion"`
	Answer     string               `json:"answer,omitempty"` // that is right
	Reward     float64              `json:"reward"`           // weighted
	Rewards    map[string]jsonFloat `json:"rewards"`          // by judge; null: it had nothing to say
	Advantage  *float64             `json:"advantage,omitempty"`
	Tokens     int                  `json:"tokens"`
	Ended      bool                 `json:"ended"`
}

// keep appends the answers of a rollout to the file.
func (o *online) keep(r *Rollout) error {
	if o.run.Dir() == "" {
		return nil
	}
	var b bytes.Buffer
	for _, a := range r.Samples {
		record := o.prompts[a.Prompt].Record
		c := completion{Step: int(o.step) + 1, Rollout: o.state.Count, Prompt: record.Text, Completion: a.Text, Answer: record.Answer,
			Reward: a.Reward, Rewards: map[string]jsonFloat{}, Tokens: len(a.IDs), Ended: a.Ended}
		if r.Targets == nil { // PPO has one for each token
			c.Advantage = &a.Advantage
		}
		for k, j := range o.judges.all {
			c.Rewards[j.name] = a.Scores[k]
		}
		line, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("tune: a completion: %w", err)
		}
		b.Write(append(line, '\n'))
	}
	f, err := os.OpenFile(filepath.Join(o.run.Dir(), completionsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	return nil
}

// forget takes out of the file what was written behind the checkpoint that a run goes on
// from: it is written again.
func (o *online) forget() error {
	if o.run.Dir() == "" {
		return nil
	}
	path := filepath.Join(o.run.Dir(), completionsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	keep := 0
	lines := bufio.NewReader(bytes.NewReader(data))
	for {
		line, err := lines.ReadBytes('\n')
		var c completion
		if err != nil || json.Unmarshal(line, &c) != nil || c.Rollout > o.state.Count { // the last may be half of one
			break
		}
		keep += len(line)
	}
	if keep == len(data) {
		return nil
	}
	if err := os.Truncate(path, int64(keep)); err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	return nil
}
