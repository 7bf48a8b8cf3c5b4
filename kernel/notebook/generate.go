package notebook

import (
	"context"
	"errors"
	"fmt"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
)

// Generate lets several adapters of one model answer the same prompts, side by side.
// The model is in memory once: changing the adapter loads nothing.
//
//	reviews := notebook.Must(model.LoadAdapter("../runs/reviews/step-80"))
//	notebook.Generate{Model: model, Tokenizer: tokenizer, Voices: []notebook.Voice{
//		{Name: "base"}, {Name: "reviews", Adapter: reviews},
//	}}.Show("Review: A quiet, moving film.\nSentiment:")
type Generate struct {
	Model     *llm.Model       // required
	Tokenizer *token.Tokenizer // required
	Template  *chat.Template   // prompts are what a user says; nil: prompts are text to go on with
	System    string           // system message, with a template
	Sampling  llm.Sampling     // zero: the most probable tokens, 128 at most
	Voices    []Voice          // zero: the model with the adapter that it has
	Want      []string         // the right answers, one a prompt, which are marked; nil: not known
}

// Voice is one adapter.
type Voice struct {
	Name    string
	Adapter *llm.Adapter // nil: the model alone
}

// Show shows the answers. An interrupt of the cell ends it with those that are there.
func (g Generate) Show(prompts ...string) {
	v, err := g.ask(Context(), prompts)
	if len(v) > 0 {
		showView(v)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		showError(err)
	}
}

func (g Generate) ask(ctx context.Context, prompts []string) (sides, error) {
	switch {
	case g.Model == nil || g.Tokenizer == nil:
		return nil, errors.New("notebook: Generate needs Model and Tokenizer")
	case len(prompts) == 0:
		return nil, errors.New("notebook: Generate needs a prompt")
	case g.Want != nil && len(g.Want) != len(prompts):
		return nil, fmt.Errorf("notebook: Generate has %d prompts and %d right answers", len(prompts), len(g.Want))
	}
	was := g.Model.Adapter()
	defer g.Model.SetAdapter(was)
	if g.Voices == nil {
		g.Voices = []Voice{{"model", was}}
	}
	ids := make([][]int32, len(prompts))
	for i, p := range prompts {
		var err error
		if ids[i], err = g.encode(p); err != nil {
			return nil, fmt.Errorf("notebook: prompt %d: %w", i+1, err)
		}
	}
	writer, err := llm.NewGenerator(g.Model, llm.GeneratorOptions{Tokenizer: g.Tokenizer})
	if err != nil {
		return nil, err
	}
	defer writer.Close()
	out := make(sides, len(prompts))
	for i, p := range prompts {
		out[i].prompt = p
		if g.Want != nil {
			out[i].want = g.Want[i]
		}
	}
	for _, voice := range g.Voices {
		g.Model.SetAdapter(voice.Adapter)
		answers, err := writer.Generate(ctx, ids, g.Sampling)
		if err != nil {
			return out[:len(out)*min(1, len(out[0].got))], err // nothing, where no voice has answered
		}
		for i, a := range answers {
			out[i].names = append(out[i].names, voice.Name)
			out[i].got = append(out[i].got, a.Text)
			note := fmt.Sprintf("%d tokens", len(a.IDs))
			if len(a.IDs) == 1 {
				note = "1 token"
			}
			if a.Finish == llm.FinishLength || a.Finish == llm.FinishContext {
				note += ", not ended"
			}
			out[i].notes = append(out[i].notes, note)
		}
	}
	return out, nil
}

// encode makes tokens of a prompt, up to the answer that is due.
func (g Generate) encode(prompt string) ([]int32, error) {
	text := prompt
	if g.Template != nil {
		messages := []chat.Message{{Role: "user", Content: prompt}}
		if g.System != "" {
			messages = append([]chat.Message{{Role: "system", Content: g.System}}, messages...)
		}
		var err error
		if text, err = g.Template.Text(messages, chat.RenderOptions{AddGenerationPrompt: true}); err != nil {
			return nil, err
		}
	}
	ids := g.Tokenizer.Encode(text, false)
	if bos := g.Tokenizer.Special().BOS; g.Template == nil && g.Tokenizer.AddsBOS() && bos >= 0 && (len(ids) == 0 || ids[0] != bos) {
		ids = append([]int32{bos}, ids...)
	}
	if len(ids) == 0 {
		return nil, errors.New("it has no tokens")
	}
	return ids, nil
}
