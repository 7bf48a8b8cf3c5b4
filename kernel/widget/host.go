package widget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
)

// Hosted is a function that runs in the kernel for a view that goes on after its cell:
// it makes widgets with ui, which is a [Shower], shows the one that the cell is to
// show, and returns when ctx is done or nothing is left to do. Its widgets stay.
type Hosted func(ctx context.Context, ui UI, arg json.RawMessage) error

// run is a hosted function that runs, or has ended.
type run struct {
	stop  context.CancelFunc
	shown chan struct{} // closed when root or err is set
	once  sync.Once
	root  string
	err   error
	done  chan struct{}
}

// Host registers a function of the kernel under the name that cells ask for.
func (h *Hub) Host(name string, f Hosted) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hosts[name] = f
}

func (h *Hub) log(err error) {
	if h.Log != nil {
		fmt.Fprintln(h.Log, err)
	}
}

// Start is [UI.Start]: it starts the function with this name, unless it runs with the
// same argument already, and waits for the widget that it shows.
func (h *Hub) Start(name string, arg any) (string, error) {
	data, err := json.Marshal(arg)
	if err != nil {
		return "", fmt.Errorf("widget: argument of %s: %w", name, err)
	}
	key := name + " " + string(data)
	h.mu.Lock()
	r := h.running[key]
	if r == nil {
		f := h.hosts[name]
		if f == nil {
			known := slices.Sorted(maps.Keys(h.hosts))
			h.mu.Unlock()
			return "", fmt.Errorf("widget: this kernel has no function %q; it has %q", name, known)
		}
		var ctx context.Context
		r = &run{shown: make(chan struct{}), done: make(chan struct{})}
		ctx, r.stop = context.WithCancel(context.Background())
		h.running[key] = r
		go h.run(ctx, key, r, f, data)
	}
	h.mu.Unlock()
	<-r.shown
	return r.root, r.err
}

func (h *Hub) run(ctx context.Context, key string, r *run, f Hosted, arg json.RawMessage) {
	defer close(r.done)
	defer r.stop()
	finish := func(root string, err error) {
		r.once.Do(func() { r.root, r.err = root, err; close(r.shown) })
	}
	err := guarded(func() error {
		return f(ctx, hosted{h, ctx, func(id string) { finish(id, nil) }}, arg)
	})
	// The next one who asks starts it again.
	h.mu.Lock()
	delete(h.running, key)
	h.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		h.log(fmt.Errorf("%s: %w", key, err))
	}
	if err == nil {
		err = errors.New("widget: the view ended before it showed anything")
	}
	finish("", err)
}

// guarded turns a panic of f into an error: a view must not end the kernel.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("widget: a view panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// hosted is the hub as a hosted function sees it: its widgets are in use while it runs,
// and its watches end with it.
type hosted struct {
	*Hub
	ctx  context.Context
	show func(id string)
}

func (u hosted) Show(id string) { u.show(id) }

func (u hosted) Open(s Spec) (Model, error) {
	return u.open(s, func() bool { return u.ctx.Err() == nil })
}

func (u hosted) Watch(id string, on func(Event)) (func(), error) {
	stop, err := u.Hub.Watch(id, func(e Event) {
		if err := guarded(func() error { on(e); return nil }); err != nil {
			u.log(err)
		}
	})
	if err != nil {
		return nil, err
	}
	context.AfterFunc(u.ctx, stop)
	return stop, nil
}

// Shutdown ends the hosted functions and waits for them until ctx is done.
func (h *Hub) Shutdown(ctx context.Context) {
	h.mu.Lock()
	running := slices.Collect(maps.Values(h.running))
	h.mu.Unlock()
	for _, r := range running {
		r.stop()
	}
	for _, r := range running {
		select {
		case <-r.done:
		case <-ctx.Done():
			return
		}
	}
}
