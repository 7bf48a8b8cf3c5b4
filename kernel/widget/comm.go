package widget

import (
	"encoding/json"
	"reflect"
	"slices"
)

// commVersion is the version of the protocol, in the metadata of every comm_open.
var commVersion = map[string]string{"version": "2.1.0"}

// Attach is part of the interface Comms of ftlab/kernel/jupyter: it gives the hub its
// way to the front ends.
func (h *Hub) Attach(send func(parent, msgType string, content, metadata any, buffers [][]byte) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send = send
}

// Info is part of the interface Comms: the open comms.
func (h *Hub) Info(wanted string) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]string{}
	if wanted == "" || wanted == target {
		for id := range h.models {
			out[id] = target
		}
	}
	return out
}

// say sends a message of a comm to all front ends. The lock is held, so that they
// hear of changes in the order in which these were made.
func (h *Hub) say(msgType, id string, data any) error {
	if h.send == nil {
		return nil
	}
	return h.send("", msgType, map[string]any{"comm_id": id, "data": data}, nil, nil)
}

// announce opens the comms of a widget: those that it refers to first.
func (h *Hub) announce(m *model) {
	if h.send == nil {
		return
	}
	for _, id := range append(slices.Clone(m.owned), m.id) {
		content := map[string]any{"comm_id": id, "target_name": target, "target_module": nil,
			"data": map[string]any{"state": h.models[id].state, "buffer_paths": []any{}}}
		h.send("", "comm_open", content, commVersion, nil) // a front end that comes later asks
	}
}

// tellChange tells front ends of traits that have changed.
func (h *Hub) tellChange(m *model, news State) {
	if len(news) > 0 {
		h.say("comm_msg", m.id, update(news))
	}
}

func update(s State) any {
	return map[string]any{"method": "update", "state": s, "buffer_paths": []any{}}
}

// fromFront is the content of a comm message.
type fromFront struct {
	ID     string `json:"comm_id"`
	Target string `json:"target_name"`
	Data   struct {
		Method  string                     `json:"method"`
		State   map[string]json.RawMessage `json:"state"`
		Content json.RawMessage            `json:"content"`
	} `json:"data"`
}

// control is the target of the comms on which front ends ask for all states.
const control = "jupyter.widget.control"

// maxControls bounds how many of them are remembered: each load of a page opens one.
const maxControls = 64

// Handle is part of the interface Comms: a message of a front end. What is malformed
// or about a widget that is gone is ignored, as the peers do.
func (h *Hub) Handle(msgType string, content, _ json.RawMessage, _ [][]byte, reply func(msgType string, content any)) {
	var m fromFront
	if json.Unmarshal(content, &m) != nil || m.ID == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch msgType {
	case "comm_open":
		if m.Target != control { // widgets are made by cells only
			reply("comm_close", map[string]any{"comm_id": m.ID, "data": map[string]any{}})
			return
		}
		h.controls = append(h.controls, m.ID)
		h.controls = h.controls[max(0, len(h.controls)-maxControls):]
	case "comm_close":
		h.controls = slices.DeleteFunc(h.controls, func(id string) bool { return id == m.ID })
		if w := h.models[m.ID]; w != nil {
			h.forget(w)
		}
	case "comm_msg":
		if slices.Contains(h.controls, m.ID) {
			if m.Data.Method == "request_states" {
				reply("comm_msg", map[string]any{"comm_id": m.ID, "data": h.allStates()})
			}
			return
		}
		w := h.models[m.ID]
		if w == nil {
			return
		}
		say := func(data any) { reply("comm_msg", map[string]any{"comm_id": m.ID, "data": data}) }
		switch m.Data.Method {
		case "request_state":
			say(update(w.state))
		case "update":
			h.fromUser(w, m.Data.State, say)
		case "custom":
			h.wake(Event{ID: w.id, Custom: m.Data.Content})
		}
	}
}

func (h *Hub) allStates() any {
	states := map[string]any{}
	for id, m := range h.models {
		states[id] = map[string]any{"model_name": m.state["_model_name"], "model_module": m.state["_model_module"],
			"model_module_version": m.state["_model_module_version"], "state": m.state}
	}
	return map[string]any{"method": "update_states", "states": states, "buffer_paths": []any{}}
}

// fromUser takes what a page says that its user did. The echo tells other pages, and
// the one that it came from that it has arrived.
func (h *Hub) fromUser(w *model, given map[string]json.RawMessage, say func(any)) {
	before, echo := State{}, State{}
	for trait, text := range given {
		was, known := w.state[trait]
		var v any
		if !known || trait[0] == '_' && trait != "_view_count" || json.Unmarshal(text, &v) != nil {
			continue
		}
		echo[trait] = v
		if sameType(was, v) {
			before[trait] = was
			w.state[trait] = v
		}
	}
	if len(echo) == 0 {
		return
	}
	say(map[string]any{"method": "echo_update", "state": echo, "buffer_paths": []any{}})
	for trait, v := range w.clamped() {
		w.state[trait] = v
	}
	news, wrong := State{}, State{}
	for trait, v := range echo {
		if !reflect.DeepEqual(w.state[trait], v) {
			wrong[trait] = w.state[trait]
		}
		if was, ok := before[trait]; ok && !reflect.DeepEqual(w.state[trait], was) {
			news[trait] = w.state[trait]
		}
	}
	if len(wrong) > 0 {
		say(update(wrong))
	}
	delete(news, "_view_count") // of no interest to anybody
	if len(news) > 0 {
		h.wake(Event{ID: w.id, State: news})
	}
}

// sameType says whether a value may follow another one: a front end must not put text
// where there is a number. What is or was null may be anything.
func sameType(was, is any) bool {
	return was == nil || is == nil || reflect.TypeOf(was) == reflect.TypeOf(is)
}
