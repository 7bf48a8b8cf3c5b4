package tiny

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed card.md.tmpl
var cardPage string

// Card is what the model's README says beside its specification: how it was
// trained and what was measured. It lies beside the model as measured.json.
type Card struct {
	Spec             Spec    `json:"-"`
	Documents        string  `json:"documents_sha256"` // of the text that it was trained on
	Steps            int     `json:"steps"`
	Tokens           int     `json:"tokens"`         // of the documents, each read once
	Loss             float64 `json:"loss"`           // nats a token, mean of the last 50 steps
	HeldOut          float64 `json:"held_out_loss"`  // on documents of another stream
	HeldOutDocuments int     `json:"held_out_texts"` // how many those are
	Seconds          float64 `json:"seconds"`
	Machine          string  `json:"machine"`
	Results          Results `json:"results"`
	Lesson           Lesson  `json:"lesson"`
}

// Minutes is the training time, in words.
func (c Card) Minutes() string { return fmt.Sprintf("%.0f minutes", c.Seconds/60) }

// Params is the number of weights, in words.
func (c Card) Params() string { return fmt.Sprintf("%.2f million", float64(c.Spec.Params())/1e6) }

// Read is how many tokens the training read, in words.
func (c Card) Read() string { return fmt.Sprintf("%.1f million", float64(c.Tokens)/1e6) }

// Markdown is the page.
func (c Card) Markdown() ([]byte, error) {
	page, err := template.New("card.md.tmpl").Funcs(template.FuncMap{"inc": func(i int) int { return i + 1 }}).Parse(cardPage)
	if err != nil {
		return nil, fmt.Errorf("tiny: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, c); err != nil {
		return nil, fmt.Errorf("tiny: %w", err)
	}
	return b.Bytes(), nil
}

// ReadCard reads dir/measured.json.
func (s Spec) ReadCard(dir string) (Card, error) {
	c := Card{Spec: s}
	data, err := os.ReadFile(filepath.Join(dir, "measured.json"))
	if err != nil {
		return c, fmt.Errorf("tiny: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("tiny: measured.json: %w", err)
	}
	return c, nil
}

// Write writes measured.json and README.md into dir.
func (c Card) Write(dir string) error {
	data, err := pretty(c)
	if err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	if err := write(filepath.Join(dir, "measured.json"), data); err != nil {
		return err
	}
	page, err := c.Markdown()
	if err != nil {
		return err
	}
	return write(filepath.Join(dir, "README.md"), page)
}
