package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sort"
	"strings"
	"time"

	"ftlab/ftlib/chat/jinja"
)

// Template renders conversations. It may be used by several goroutines at once.
type Template struct {
	opts     Options
	variants map[string]*jinja.Template // "default", "tool_use", ...
}

// Error is a conversation or template that cannot be rendered.
type Error struct {
	Template string // its name
	Line     int    // of the template; 0: none
	Msg      string
	Raised   bool // the template itself refuses the conversation, and Msg is its own text
}

func (e *Error) Error() string {
	switch {
	case e.Raised:
		return fmt.Sprintf("chat: template %s refuses the conversation (line %d): %s", e.Template, e.Line, e.Msg)
	case e.Line > 0:
		return fmt.Sprintf("chat: template %s line %d: %s", e.Template, e.Line, e.Msg)
	}
	return fmt.Sprintf("chat: template %s: %s", e.Template, e.Msg)
}

func (t *Template) wrap(err error) error {
	var e *jinja.Error
	if errors.As(err, &e) {
		msg := e.Msg
		if !e.Raised {
			msg = e.Kind + ": " + msg
		}
		return &Error{t.opts.Name, e.Line, msg, e.Raised}
	}
	return err
}

// Parse reads a template from its source.
func Parse(source string, o Options) (*Template, error) {
	return parseAll(map[string]string{"default": source}, o)
}

func parseAll(sources map[string]string, o Options) (*Template, error) {
	if o.Name == "" {
		o.Name = "template"
	}
	t := &Template{opts: o, variants: map[string]*jinja.Template{}}
	for name, src := range sources {
		j, err := jinja.Parse(src)
		if err != nil {
			return nil, t.wrap(err)
		}
		t.variants[name] = j
	}
	return t, nil
}

// With is the same template with other tokens. Empty fields of o keep what was there,
// unless o.All is set.
func (t *Template) With(o Options) *Template {
	c := *t
	if o.Name != "" {
		c.opts.Name = o.Name
	}
	c.opts.Tokens = map[string]string{}
	if o.All {
		c.opts.BOS, c.opts.EOS = "", ""
	} else {
		maps.Copy(c.opts.Tokens, t.opts.Tokens)
	}
	if o.BOS != "" {
		c.opts.BOS = o.BOS
		delete(c.opts.Tokens, "bos_token")
	}
	if o.EOS != "" {
		c.opts.EOS = o.EOS
		delete(c.opts.Tokens, "eos_token")
	}
	maps.Copy(c.opts.Tokens, o.Tokens)
	if !o.Now.IsZero() {
		c.opts.Now = o.Now
	}
	return &c
}

// Name of the template, for messages and records.
func (t *Template) Name() string { return t.opts.Name }

// BOS is what the template writes for bos_token; "" for nothing.
func (t *Template) BOS() string { return t.tokens()["bos_token"] }

// EOS is what the template writes for eos_token; "" for nothing.
func (t *Template) EOS() string { return t.tokens()["eos_token"] }

// Source of the template, of its default variant where it has several.
func (t *Template) Source() string {
	if j := t.variants["default"]; j != nil {
		return j.Source
	}
	return ""
}

// HasGeneration says that the template marks itself what the assistant writes.
func (t *Template) HasGeneration() bool {
	j := t.variants["default"]
	return j != nil && j.HasGeneration
}

// Hash is the same for two templates that render every conversation alike: SHA-256 over
// the sources and tokens. A run keeps it, so that training and inference cannot differ
// unnoticed.
func (t *Template) Hash() string {
	h := sha256.New()
	names := make([]string, 0, len(t.variants))
	for n := range t.variants {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(h, "%q %q\n", n, t.variants[n].Source)
	}
	fmt.Fprintf(h, "%q %q\n", t.BOS(), t.EOS())
	return hex.EncodeToString(h.Sum(nil))
}

func (t *Template) variant(o RenderOptions) (*jinja.Template, error) {
	if o.Tools != nil && t.variants["tool_use"] != nil {
		return t.variants["tool_use"], nil
	}
	if j := t.variants["default"]; j != nil {
		return j, nil
	}
	var names []string
	for n := range t.variants {
		names = append(names, n)
	}
	sort.Strings(names)
	return nil, &Error{t.opts.Name, 0, fmt.Sprintf("there is no default among the templates %s", strings.Join(names, ", ")), false}
}

// tokens are the special tokens by the names under which a template reads them.
func (t *Template) tokens() map[string]string {
	m := map[string]string{}
	if t.opts.BOS != "" { // else undefined, as transformers leaves it
		m["bos_token"] = t.opts.BOS
	}
	if t.opts.EOS != "" {
		m["eos_token"] = t.opts.EOS
	}
	maps.Copy(m, t.opts.Tokens)
	return m
}

// run renders without attributing.
func (t *Template) run(msgs []Message, o RenderOptions) (jinja.Output, error) {
	if len(msgs) == 0 {
		return jinja.Output{}, &Error{t.opts.Name, 0, "the conversation is empty; give at least one message", false}
	}
	j, err := t.variant(o)
	if err != nil {
		return jinja.Output{}, err
	}
	vars := map[string]jinja.Value{}
	for k, v := range t.tokens() {
		vars[k] = jinja.Str{S: v}
	}
	for k, v := range o.Extra {
		vars[k] = jinja.From(v, 0, 0)
	}
	list := &jinja.List{}
	for i := range msgs {
		list.Items = append(list.Items, msgs[i].dict(i+1))
	}
	vars["messages"] = list
	vars["tools"], vars["documents"] = nil, nil
	if o.Tools != nil {
		vars["tools"] = jinja.From(o.Tools, 0, 0)
	}
	if o.Documents != nil {
		vars["documents"] = jinja.From(o.Documents, 0, 0)
	}
	vars["add_generation_prompt"] = o.AddGenerationPrompt
	now := o.Now
	if now.IsZero() {
		now = t.opts.Now
	}
	if now.IsZero() {
		now = time.Now()
	}
	out, err := j.Render(vars, jinja.Options{Now: now})
	if err != nil {
		return out, t.wrap(err)
	}
	return out, nil
}

// Text renders a conversation to plain text.
func (t *Template) Text(msgs []Message, o RenderOptions) (string, error) {
	out, err := t.run(msgs, o)
	return out.Text, err
}
