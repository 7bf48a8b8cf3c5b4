package widget

import (
	"maps"
	"sync"
)

// watcher delivers what happens to a widget to one function, in a goroutine of its
// own: who is slow delays nobody, and hears of many changes at once.
type watcher struct {
	on func(Event)

	mu      sync.Mutex
	waiting []Event
	busy    bool // a goroutine delivers
	stopped bool
}

// maxWaiting bounds the clicks that wait for a function that does not return.
const maxWaiting = 1000

func (w *watcher) put(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	if last := len(w.waiting) - 1; last >= 0 && e.State != nil && w.waiting[last].State != nil {
		maps.Copy(w.waiting[last].State, e.State)
	} else if len(w.waiting) < maxWaiting {
		e.State = maps.Clone(e.State)
		w.waiting = append(w.waiting, e)
	}
	if !w.busy {
		w.busy = true
		go w.deliver()
	}
}

func (w *watcher) deliver() {
	for {
		w.mu.Lock()
		if len(w.waiting) == 0 || w.stopped {
			w.busy = false
			w.mu.Unlock()
			return
		}
		e := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.mu.Unlock()
		w.on(e)
	}
}

func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped, w.waiting = true, nil
}

// Watch is [UI.Watch].
func (h *Hub) Watch(id string, on func(Event)) (stop func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.models[id] == nil {
		return nil, gone(id)
	}
	w := &watcher{on: on}
	if h.watchers[id] == nil {
		h.watchers[id] = map[*watcher]bool{}
	}
	h.watchers[id][w] = true
	return func() {
		w.stop()
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers[id], w)
	}, nil
}

// wake tells the watchers of a widget.
func (h *Hub) wake(e Event) {
	if e.State != nil && len(e.State) == 0 {
		return
	}
	for w := range h.watchers[e.ID] {
		w.put(e)
	}
}
