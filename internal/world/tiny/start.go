package tiny

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"

	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
	"ftlab/ftlib/token"
	"ftlab/internal/world"
)

// Config is config.json as transformers writes it.
func (s Spec) Config() ([]byte, error) {
	return pretty(map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "dtype": "float32",
		"vocab_size": s.Vocab, "hidden_size": s.Hidden, "num_hidden_layers": s.Layers, "intermediate_size": s.FFN,
		"num_attention_heads": s.Heads, "num_key_value_heads": s.Heads, "head_dim": s.Hidden / s.Heads,
		"max_position_embeddings": s.Positions, "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "hidden_act": "silu",
		"attention_bias": false, "mlp_bias": false, "tie_word_embeddings": true, "initializer_range": 0.02,
		"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD,
	})
}

// WriteStart writes a model directory with random weights and the tokenizer, which
// is learnt from the first documents.
func (s Spec) WriteStart(b compute.Backend, dir string) error {
	tok, err := token.Train(s.texts("pretraining", s.Learn), token.TrainOptions{
		VocabSize: s.Vocab, SpecialTokens: []string{bosText, eosText, padText}, SplitDigits: true,
		BOS: bosText, EOS: eosText, PAD: padText, AddBOS: true, ModelMaxLength: s.Positions, ChatTemplate: ChatTemplate,
	})
	if err != nil {
		return err
	}
	if tok.Size() != s.Vocab {
		return fmt.Errorf("tiny: the tokenizer has %d tokens of %d: %d documents are too few to learn from", tok.Size(), s.Vocab, s.Learn)
	}
	config, err := s.Config()
	if err != nil {
		return err
	}
	c, err := llm.ParseConfig(config)
	if err != nil {
		return err
	}
	m, err := llm.New(b, c, int64(s.Seed), llm.LoadOptions{})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Save(dir, safetensors.F32); err != nil {
		return err
	}
	generation, err := pretty(map[string]any{"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD, "max_new_tokens": 64})
	if err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "generation_config.json"), generation); err != nil {
		return err
	}
	return tok.Save(dir)
}

// texts are the first n documents of a stream.
func (s Spec) texts(stream string, n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for d := range world.New(s.Seed).Documents(stream, n) {
			if !yield(d.Text) {
				return
			}
		}
	}
}

// Hash is the SHA-256 of all pretraining documents: it changes when the world's
// words or chances do, and the model is then no longer one of this world.
func (s Spec) Hash() string {
	h := sha256.New()
	for t := range s.texts("pretraining", s.Documents) {
		fmt.Fprintf(h, "%s\n\n", t)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// together is how many documents stand in one row of a text file. Training cuts a row
// into windows of full length, so that there is no padding and all positions
// are trained; what is left at the end of a row is shorter.
const together = 250

// WriteText writes n documents of a stream to a jsonl file, many to a row, with the
// tokens for end and beginning written out between them.
func (s Spec) WriteText(path, stream string, n int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("tiny: %w", e)
		}
	}()
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	var row []string
	flush := func() error {
		if len(row) == 0 {
			return nil
		}
		text := strings.Join(row, eosText+bosText)
		row = row[:0]
		return e.Encode(map[string]string{"text": text})
	}
	for t := range s.texts(stream, n) {
		if row = append(row, t); len(row) == together {
			if err := flush(); err != nil {
				return fmt.Errorf("tiny: %w", err)
			}
		}
	}
	if err := flush(); err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	return w.Flush()
}

func pretty(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // "<s>" stays legible
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

func write(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	return nil
}
