package notebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/plan"
	"ftlab/ftlib/tune"
	"ftlab/kernel/widget"
)

// Plan shows what a run needs, on this machine or on devices by name ("rtx3060", "8xa100"): its
// memory as bars, whether it fits, settings that would, and how long it takes. Nothing is loaded.
//
//	notebook.Plan(run)
//	notebook.Plan(run, "rtx3060", "a100")
func Plan(run ftlib.Run, devices ...string) {
	reports, err := plans(run, devices)
	if err != nil {
		showError(err)
		return
	}
	for _, r := range reports {
		showView(planView{r})
	}
}

func plans(run ftlib.Run, devices []string) ([]plan.Report, error) {
	if len(devices) == 0 {
		devices = []string{""}
	}
	var all []plan.Report
	for _, name := range devices {
		var o tune.PlanOptions
		if name != "" {
			var err error
			if o.Device, err = plan.FindDevice(name); err != nil {
				return nil, err
			}
		}
		r, err := tune.Plan(run, o)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// planView is a report on a page.
type planView struct{ plan.Report }

// PlanPage is a report as markup.
func PlanPage(r plan.Report) (string, error) { return planView{r}.HTML() }

// barColours are those of the lines of a ledger, in their order; text is never written on them.
var barColours = []string{"#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb", "#888888", "#995533", "#225555"}

// HTML implements [View].
func (v planView) HTML() (string, error) {
	var b strings.Builder
	s := v.Ledger.Setup
	esc := html.EscapeString
	fmt.Fprintf(&b, `<div style="max-width:60em"><p><b>%s</b>, %s with %s on %s: %s</p>`, esc(v.Model), esc(s.Method), esc(s.Adapter()), esc(v.Device.Title), esc(v.Verdict()))
	whole := max(v.Limit, v.Ledger.Bytes())
	fmt.Fprintf(&b, `<svg role="img" aria-label="memory by what holds it" width="100%%" height="26" preserveAspectRatio="none" viewBox="0 0 1000 26">`)
	at := 0.0
	for i, l := range v.Ledger.Peak.Lines {
		width := 1000 * float64(l.Bytes) / float64(whole)
		fmt.Fprintf(&b, `<rect x="%.1f" y="0" width="%.1f" height="26" fill="%s"><title>%s: %s</title></rect>`, at, width, barColours[i%len(barColours)], esc(l.Name), esc(plan.Size(l.Bytes)))
		at += width
	}
	if limit := 1000 * float64(v.Limit) / float64(whole); limit < 1000 {
		fmt.Fprintf(&b, `<rect x="%.1f" y="0" width="3" height="26" fill="red"><title>%s</title></rect>`, limit, esc(plan.Size(v.Limit)))
	}
	b.WriteString(`</svg><table>`)
	for i, l := range v.Ledger.Peak.Lines {
		fmt.Fprintf(&b, `<tr><td style="text-align:left"><span style="display:inline-block;width:.8em;height:.8em;background:%s"></span> %s</td><td style="text-align:right">%s</td><td style="text-align:left">%s</td></tr>`,
			barColours[i%len(barColours)], esc(l.Name), esc(plan.Size(l.Bytes)), esc(l.What))
	}
	fmt.Fprintf(&b, `<tr><td style="text-align:left"><b>peak</b></td><td style="text-align:right"><b>%s</b></td><td style="text-align:left">%s</td></tr></table>`, esc(plan.Size(v.Ledger.Bytes())), esc(v.Ledger.Peak.Name))
	if len(v.Advice) > 0 {
		b.WriteString("<ol>")
		for _, a := range v.Advice {
			fmt.Fprintf(&b, "<li><code>%s</code>: %s (%s)</li>", esc(strings.Join(a.Changes, " ")), esc(plan.Size(a.Bytes)), esc(a.Price))
		}
		b.WriteString("</ol>")
	}
	if c := v.Cost; c.Step > 0 {
		fmt.Fprintf(&b, "<p>a step takes about %s", esc(plan.Duration(c.Step)))
		if v.Work.Rows > 0 {
			fmt.Fprintf(&b, "; %d rows: %.0f steps, %s", v.Work.Rows, c.Steps, esc(plan.Duration(c.Total)))
		}
		if c.Dollars > 0 {
			fmt.Fprintf(&b, ", about $%.2f", c.Dollars)
		}
		fmt.Fprintf(&b, " <small>(%s)</small></p>", esc(c.Why))
	}
	for _, n := range v.Notes {
		fmt.Fprintf(&b, "<p><small>%s</small></p>", esc(n))
	}
	return b.String() + "</div>", nil
}

// Chooser is the decision tree of a fine-tuning run: what is the goal, what feedback is there, which
// model on which card. It ends in a run file that is ready to train. In the FTLab kernel it lives on
// after its cell.
type Chooser struct {
	Answers plan.Answers // at first
	File    string       // that the button writes; zero: run.yaml beside the notebook
}

// HostedChooser is the name of the kernel's function behind [Chooser.Show].
const HostedChooser = "choose"

// Choose shows the decision tree.
//
//	notebook.Choose()
func Choose() { Chooser{}.Show() }

// Show shows it. Without a kernel it shows where the answers lead.
func (c Chooser) Show() {
	if err := c.show(); err != nil {
		showError(err)
	}
}

func (c Chooser) show() (err error) {
	if c.File, err = filepath.Abs(or(c.File, "run.yaml")); err != nil {
		return fmt.Errorf("notebook: %w", err)
	}
	if c.Answers.Goal == "" {
		c.Answers.Goal = "knowledge"
	}
	ui := UI()
	if !live(ui) {
		markup, text := c.leads(c.Answers)
		emit(bundle{html: markup, text: text})
		return nil
	}
	id, err := ui.Start(HostedChooser, c)
	if err != nil {
		return err
	}
	_, text := c.leads(c.Answers)
	emit(bundle{view: widget.View(id), text: text})
	return nil
}

// decide is where answers lead; a device of "" is this machine.
func (c Chooser) decide(a plan.Answers) (plan.Decision, error) {
	for _, q := range plan.Questions(a)[1:] { // the first option stands where nothing was said
		if known := a.Of(q.Key); !q.Has(known) {
			a = a.With(q.Key, q.Options[0].Value)
		}
	}
	if a.Model == "" {
		a.Model = "7b"
	}
	if a.Device != "" {
		return plan.Decide(a)
	}
	shape, err := plan.FindShape(a.Model)
	if err != nil {
		return plan.Decision{}, err
	}
	return plan.DecideOn(a, shape, tune.ThisDevice(""))
}

// leads is the decision as markup and as text.
func (c Chooser) leads(a plan.Answers) (markup, text string) {
	d, err := c.decide(a)
	if err != nil {
		return "<p>" + html.EscapeString(err.Error()) + "</p>", err.Error() + "\n"
	}
	var b strings.Builder
	b.WriteString("<ul>")
	for _, p := range d.Path {
		b.WriteString("<li>" + html.EscapeString(p) + "</li>")
		text += "- " + p + "\n"
	}
	view, err := planView{d.Report}.HTML()
	if err != nil {
		return err.Error(), err.Error() + "\n"
	}
	return b.String() + "</ul><pre>" + html.EscapeString(d.YAML) + "</pre>" + view, text + d.YAML
}

// HostChooser is the function that the kernel runs for [Chooser.Show]; cmd/ft registers it.
func HostChooser(ctx context.Context, ui widget.UI, arg json.RawMessage) error {
	var c Chooser
	if err := json.Unmarshal(arg, &c); err != nil {
		return fmt.Errorf("notebook: %w", err)
	}
	root, err := c.in(ui)
	if err != nil {
		return err
	}
	root.Show()
	<-ctx.Done()
	return nil
}

// in makes the widgets in ui.
func (c Chooser) in(ui widget.UI) (*Box, error) {
	a := c.Answers
	out, err := HTML{}.In(ui)
	if err != nil {
		return nil, err
	}
	said, err := Text{}.In(ui)
	if err != nil {
		return nil, err
	}
	var errs []error
	choose := func(label string, options []string, value string) *Control[string] {
		k, err := Choice{Label: label, Options: options, Value: value, Width: "30em"}.In(ui)
		errs = append(errs, err)
		return k
	}
	goal := plan.Questions(plan.Answers{})[0]
	forks := map[string]*Control[string]{"goal": choose("goal", texts(goal), goal.TextOf(a.Goal))}
	boxes := []Widget{forks["goal"]}
	questions := map[string]plan.Question{"goal": goal}
	for _, g := range goal.Options {
		for _, q := range plan.Questions(plan.Answers{Goal: g.Value})[1:] {
			questions[q.Key] = q
			forks[q.Key] = choose(q.Key, texts(q), q.TextOf(a.Of(q.Key)))
			boxes = append(boxes, forks[q.Key])
		}
	}
	var models []string
	for _, s := range plan.KnownShapes() {
		models = append(models, s.Name)
	}
	devices := []string{"this machine"}
	for _, d := range plan.KnownDevices().Devices {
		devices = append(devices, d.Name)
	}
	model := choose("model", models, or(a.Model, "Llama-2-7B"))
	device := choose("device", devices, or(a.Device, "rtx3060"))
	length, err := IntSlider{Label: "tokens a row", Min: 64, Max: 4096, Value: max(64, a.Length)}.In(ui)
	errs = append(errs, err)
	button, err := Button{Label: "write " + filepath.Base(c.File), Colour: Primary}.In(ui)
	if errs = append(errs, err); errors.Join(errs...) != nil {
		return nil, errors.Join(errs...)
	}
	if a.Length == 0 {
		length.Set(1024)
	}
	answers := func() plan.Answers {
		now := plan.Answers{Model: model.Value(), Data: a.Data, Length: length.Value()}
		if d := device.Value(); d != devices[0] {
			now.Device = d
		}
		for key, k := range forks {
			now = now.With(key, questions[key].Value(k.Value()))
		}
		return now
	}
	draw := func() {
		now := answers()
		asked := plan.Questions(now)
		for key, k := range forks {
			on := false
			for _, q := range asked {
				on = on || q.Key == key
			}
			k.Enable(on)
		}
		markup, _ := c.leads(now)
		out.Set(markup)
	}
	for _, k := range forks {
		k.OnChange(func(string) { draw() })
	}
	model.OnChange(func(string) { draw() })
	device.OnChange(func(string) { draw() })
	length.OnChange(func(int) { draw() })
	button.OnClick(func() { said.Set(c.write(answers())) })
	draw()
	return Column{Children: append(boxes, Row{Children: []Widget{model, device, length}}, out, Row{Children: []Widget{button, said}})}.In(ui)
}

// write writes the run file and says so. A file that is there stays.
func (c Chooser) write(a plan.Answers) string {
	d, err := c.decide(a)
	if err != nil {
		return err.Error()
	}
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_, err = f.WriteString(d.YAML)
		err = errors.Join(err, f.Close())
	}
	if errors.Is(err, os.ErrExist) {
		return c.File + " is there already: remove it, or choose another name (File)"
	}
	if err != nil {
		return err.Error()
	}
	return "written: " + c.File + "; train it with %ft train " + filepath.Base(c.File)
}

func texts(q plan.Question) []string {
	var all []string
	for _, o := range q.Options {
		all = append(all, o.Text)
	}
	return all
}
