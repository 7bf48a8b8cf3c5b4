package notebook

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"iter"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"ftlab/ftlib"
	"ftlab/ftlib/chart"
)

// View is a value that knows how it looks on a page and in a terminal.
type View interface {
	HTML() (string, error)
	Text() string
}

// InNotebook reports whether the program runs in a cell of a GoNB kernel.
func InNotebook() bool { return gonbui.IsNotebook }

// Show displays any value: a [View] (charts, tables, token views) as it wants to
// look, an error in red, a string as it is, a slice of structs or maps as a table,
// everything else as indented JSON.
func Show(v any) {
	switch v := v.(type) {
	case nil:
		emit(bundle{text: "nil\n"})
	case chart.Figure:
		showFigure(v, "")
	case View:
		showView(v)
	case error:
		showError(v)
	case string:
		emit(bundle{text: strings.TrimSuffix(v, "\n") + "\n"})
	case fmt.Stringer:
		emit(bundle{text: v.String() + "\n"})
	default:
		if t, ok := tableOf(v); ok {
			showView(t)
			return
		}
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			data = fmt.Appendf(nil, "%+v", v)
		}
		emit(bundle{text: string(data) + "\n"})
	}
}

// LossChart shows the loss of a finished run: training, validation and learning
// rate over steps. For several runs in one chart see [chart.Loss].
func LossChart(events ...ftlib.Event) { Show(chart.Loss(chart.Curve{Events: events})) }

// Markdown shows text with its Markdown rendered; a terminal gets it as it is.
func Markdown(text string) {
	emit(bundle{markdown: text, text: strings.TrimSuffix(text, "\n") + "\n"})
}

// Must returns v, or ends the cell with a short message when err is not nil:
//
//	model := notebook.Must(llm.Load(dir, backend))
//
// It spares cells four lines a call and readers a stack trace.
func Must[T any](v T, err error) T {
	Check(err)
	return v
}

// Check ends the cell with a short message when err is not nil.
func Check(err error) {
	if err == nil {
		return
	}
	showError(err)
	exit(1)
}

// First takes the first n values of a sequence that may fail:
//
//	rows := notebook.Must(notebook.First(corpus.Open(path, corpus.OpenOptions{}), 5))
func First[T any](seq iter.Seq2[T, error], n int) ([]T, error) {
	var out []T
	for v, err := range seq {
		if err != nil {
			return out, err
		}
		if out = append(out, v); len(out) >= n {
			break
		}
	}
	return out, nil
}

// Context is done when the cell is interrupted (the square button, or Ctrl-C). A run
// that is given it ends the step that it is in, saves, and can be resumed; a second
// interrupt ends the program at once.
func Context() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)
	return ctx
}

// exit is replaced by tests.
var exit = os.Exit

func showView(v View) {
	page, err := v.HTML()
	if err != nil {
		showError(err)
		return
	}
	emit(bundle{html: page, text: v.Text()})
}

func showError(err error) {
	emit(bundle{
		html: `<div style="border-left:4px solid #d64f5c;padding:.4em .8em"><b>This did not work.</b> ` +
			html.EscapeString(err.Error()) + `</div>`,
		text: "error: " + err.Error() + "\n",
	})
}

// showFigure displays a chart; a display id lets it be replaced later.
func showFigure(f chart.Figure, id string) {
	b, err := figureBundle(f, id)
	if err != nil {
		showError(err)
		return
	}
	b.id = id
	emit(b)
}

func figureBundle(f chart.Figure, id string) (bundle, error) {
	if !InNotebook() {
		return bundle{text: f.Text()}, writePage(f, id)
	}
	var page string
	var err error
	if id == "" {
		page, err = f.HTML()
	} else {
		page, err = f.HTMLWithID(id)
	}
	if err != nil {
		return bundle{}, err
	}
	svg, err := f.SVG()
	return bundle{html: page, svg: string(svg), text: f.Text()}, err
}

// bundle is one output in several forms; empty ones are left out.
type bundle struct {
	html, svg, markdown, text string
	id                        string // of an output that is replaced later
	view                      string // of a widget, as JSON
}

// out takes plain forms outside a notebook (nil: standard output); send takes
// outputs inside. Tests replace them.
var (
	out  io.Writer
	send = func(data *protocol.DisplayData) { gonbui.SendData(data); settle() }
)

// emit shows a bundle where the program runs.
func emit(b bundle) {
	if !InNotebook() {
		printPlain(b.text)
		return
	}
	data := &protocol.DisplayData{Data: map[protocol.MIMEType]any{}, DisplayID: b.id}
	for mime, s := range map[protocol.MIMEType]string{
		protocol.MIMETextHTML: b.html, protocol.MIMEImageSVG: b.svg,
		protocol.MIMETextMarkdown: b.markdown, protocol.MIMETextPlain: b.text, viewMIME: b.view,
	} {
		if s != "" {
			data.Data[mime] = s
		}
	}
	send(data)
}

func printPlain(s string) {
	if out == nil {
		fmt.Fprint(os.Stdout, s) // looked up now: it may have been redirected
		return
	}
	fmt.Fprint(out, s)
}

// settle waits until the kernel has what was sent: a cell that ends right after a
// display would lose it. It gives up after some seconds, when nobody listens.
func settle() {
	done := make(chan struct{})
	go func() { gonbui.Sync(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
}
