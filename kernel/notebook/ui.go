package notebook

import (
	"fmt"
	"os"
	"sync"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"ftlab/ftlib/chart"
	"ftlab/kernel/widget"
)

// Widget is what can be on a page or in a box: a description of a widget, such as a
// [FloatSlider], or one that is there, such as a [Control].
type Widget interface {
	// place makes the widget, or finds it by its name.
	place(ui widget.UI) (*element, error)
}

// UI is where this program's widgets are: in the kernel that it runs in, or, without
// one, in the program itself, where they keep their values and can be set.
func UI() widget.UI { return ourUI() }

var ourUI = sync.OnceValue(func() widget.UI {
	if os.Getenv(widget.SocketEnv) != "" {
		c, err := widget.Connect()
		if err == nil {
			return c
		}
		printPlain(fmt.Sprintf("note: widgets cannot be shown: %v\n", err))
	}
	return widget.NewHub()
})

// live says whether widgets of ui are seen on a page.
func live(ui widget.UI) bool {
	_, local := ui.(*widget.Hub)
	return !local
}

// element is a widget that is there, without the type of its value.
type element struct {
	ui   widget.UI
	id   string
	kind widget.Kind
	text func() string // for a terminal
	svg  func() string // the picture beside it; nil: none

	mu    sync.Mutex
	err   error
	state widget.State // as last seen, for when the kernel has gone
}

func (e *element) place(widget.UI) (*element, error) {
	if e == nil {
		return nil, fmt.Errorf("notebook: a widget that could not be made")
	}
	return e, nil
}

// failed notes an error. The first one is printed: a widget must not end a run.
func (e *element) failed(err error) {
	if err == nil {
		return
	}
	e.mu.Lock()
	first := e.err == nil
	e.err = err
	e.mu.Unlock()
	if _, hosted := e.ui.(widget.Shower); first && !hosted {
		printPlain("note: " + err.Error() + "\n")
	}
}

// Err is the last error, for example that the kernel has gone.
func (e *element) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// ID is the id of the widget's model.
func (e *element) ID() string { return e.id }

func (e *element) get() widget.State {
	s, err := e.ui.Get(e.id)
	e.failed(err)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.state = s
	}
	return e.state
}

func (e *element) set(s widget.State) { e.failed(e.ui.Update(e.id, s)) }

// Enable says whether the user may change it.
func (e *element) Enable(on bool) { e.set(widget.State{"disabled": !on}) }

// Close takes the widget from all pages.
func (e *element) Close() { e.failed(e.ui.Close(e.id)) }

// Show shows the widget in the output of the cell; it may be shown many times, and all
// show the same. A terminal gets it as text.
func (e *element) Show() { e.show("") }

func (e *element) show(displayID string) {
	if s, ok := e.ui.(widget.Shower); ok {
		s.Show(e.id)
		return
	}
	b := bundle{text: e.text(), id: displayID}
	if live(e.ui) {
		b.view = widget.View(e.id)
	}
	if e.svg != nil && InNotebook() {
		b.svg = e.svg()
	}
	emit(b)
}

// viewMIME is the type of outputs that show a widget.
const viewMIME = protocol.MIMEType(widget.ViewMIME)

// Interact keeps the cell running, so that its functions for changes and clicks are
// called, until it is interrupted.
func Interact() { <-Context().Done() }

// ShowHosted shows the view that a function of the kernel makes (see
// [widget.Hub.Host]) and that goes on when this cell has ended. The figure is what is
// seen of it where no kernel runs: in a saved notebook.
func ShowHosted(function string, arg any, still chart.Figure) error {
	id, err := UI().Start(function, arg)
	if err != nil {
		return err
	}
	b, err := figureBundle(still, "")
	if err != nil {
		return err
	}
	b.html, b.view = "", widget.View(id)
	emit(b)
	return nil
}

// layout gives a widget a width; zero: that of its kind.
func layout(width string) widget.State {
	if width == "" {
		return nil
	}
	return widget.State{"width": width}
}

// put sets a trait unless the value is the zero of its type.
func put[T comparable](s widget.State, trait string, v T) {
	var zero T
	if v != zero {
		s[trait] = v
	}
}

// made makes a widget.
func made(ui widget.UI, spec widget.Spec) (*element, error) {
	m, err := ui.Open(spec)
	if err != nil {
		return nil, err
	}
	return &element{ui: ui, id: m.ID, kind: m.Kind, state: m.State}, nil
}

// placed are the ids of children.
func placed(ui widget.UI, children []Widget) (ids []string, all []*element, err error) {
	ids = []string{}
	for i, c := range children {
		if c == nil {
			return nil, nil, fmt.Errorf("notebook: child %d of a box is nil", i)
		}
		e, err := c.place(ui)
		if err != nil {
			return nil, nil, err
		}
		ids, all = append(ids, e.id), append(all, e)
	}
	return ids, all, nil
}
