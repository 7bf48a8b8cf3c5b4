package tiny

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"
)

//go:embed card.md.tmpl
var cardPage string

// Card is the model's README: what it is made of and what was measured.
type Card struct {
	Spec             Spec
	Tokens           int // in the pretraining documents
	Steps            int
	Loss             float64
	HeldOut          float64 // nats a token on documents of another stream
	HeldOutDocuments int
	Minutes          string
	Machine          string
	Results          Results
}

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
