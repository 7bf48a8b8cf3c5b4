//go:build unix

package jupyter

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// start starts a gonb.
func (k *Kernel) start() (*child, error) {
	c, err := startChild(k.ctx, k.cfg, filepath.Base(k.cfg.ConnectionFile), k.fromGonb)
	if err != nil {
		return nil, err
	}
	k.gonb, k.cells = 0, map[int]source{}
	return c, nil
}

// ready returns a gonb that runs. One that has ended is started again with the session's
// declarations; what the user has to know of it is told with the next cell.
func (k *Kernel) ready() (*child, error) {
	c := k.child.Load()
	if c == nil || k.ctx.Err() != nil {
		return nil, errChildGone
	}
	if c.alive() {
		return c, nil
	}
	c.close()
	again, err := k.start()
	if err != nil {
		return nil, fmt.Errorf("%w, and does not start again: %w", errChildGone, err)
	}
	if !k.child.CompareAndSwap(c, again) { // the kernel is closed meanwhile
		again.close()
		return nil, errChildGone
	}
	k.notice("gonb, which compiles the cells, had ended and was started again" + k.replay(again) + ".")
	return again, nil
}

// replay gives the declarations of the session to a new gonb, and says how that went.
func (k *Kernel) replay(c *child) string {
	for _, env := range k.env {
		k.silently(c, envMagic(env)) // a variable that is missing shows in the cell
	}
	list := k.ledger.all()
	if len(list) == 0 {
		return ""
	}
	imports, rest := k.ledger.text(nil)
	if k.silently(c, imports+rest) {
		return fmt.Sprintf("; the %d declarations of earlier cells are there", len(list))
	}
	var lost []string
	for _, d := range list { // one that does not compile must not take the others with it
		if !k.silently(c, imports+d.text) {
			lost = append(lost, strings.TrimPrefix(strings.Join(d.keys, ", "), "import "))
			k.ledger.forget(d.keys)
		}
	}
	return "; of the declarations of earlier cells these are missing: " + strings.Join(lost, ", ")
}

// silently runs code in gonb, for its effect there, and says whether it compiled.
func (k *Kernel) silently(c *child, code string) bool {
	m, err := NewMessage("execute_request", k.session, nil, map[string]any{"code": code, "silent": true, "store_history": true,
		"user_expressions": struct{}{}, "allow_stdin": false, "stop_on_error": false})
	if err != nil {
		return false
	}
	k.gonb++
	answer, err := c.ask(m, &output{mute: true})
	if err != nil {
		return false
	}
	var got struct{ Status string }
	return json.Unmarshal(answer.Content, &got) == nil && got.Status == "ok"
}

// envMagic is the line by which gonb sets a variable for cells.
func envMagic(env string) string {
	name, value, _ := strings.Cut(env, "=")
	return fmt.Sprintf("%%env %s \"%s\"", name, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value))
}

// notice keeps something to tell with the next cell.
func (k *Kernel) notice(text string) { k.notices = append(k.notices, text) }

// ask has gonb answer something that is not a cell.
func (k *Kernel) ask(m *Message) (*Message, error) {
	c, err := k.ready()
	if err != nil {
		return nil, err
	}
	return c.ask(m, nil)
}

// prepare makes ready what a cell needs, and tells what there is to tell.
func (k *Kernel) prepare(m *Message, r executeRequest) (*child, error) {
	c, err := k.ready()
	if err != nil {
		return nil, err
	}
	if !c.tuned { // go get before every cell costs a tenth of it and finds nothing: cells have no network
		c.tuned = true
		k.silently(c, "%noautoget")
	}
	if k.cfg.Prepare != nil {
		env, notice := k.cfg.Prepare(r.Code)
		for _, e := range env {
			if !k.silently(c, envMagic(e)) {
				return nil, errors.New("jupyter: gonb does not take " + e)
			}
		}
		k.env = append(k.env, env...)
		if notice != "" {
			k.notice(notice)
		}
	}
	for _, n := range k.notices {
		if !r.Silent {
			k.tell(m, "stream", map[string]string{"name": "stderr", "text": "Note: " + n + "\n"})
		}
	}
	k.notices = nil
	return c, nil
}
