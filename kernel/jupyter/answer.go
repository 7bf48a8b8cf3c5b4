//go:build unix

package jupyter

import (
	"encoding/json"
	"runtime"
	"strings"
)

// info is the content of a kernel_info_reply.
func (k *Kernel) info() any {
	return map[string]any{
		"status":                 "ok",
		"protocol_version":       protocol,
		"implementation":         "ftlab",
		"implementation_version": k.cfg.Version,
		"banner":                 "FTLab " + k.cfg.Version + ": Go cells, compiled by gonb. A cell is declarations, or statements whose last expression is shown. %help lists the magics.",
		"debugger":               false,
		"language_info": map[string]string{
			"name": "go", "version": strings.TrimPrefix(runtime.Version(), "go"), "mimetype": "text/x-go", "file_extension": ".go",
			"pygments_lexer": "go", "codemirror_mode": "go", "nbconvert_exporter": "",
		},
		"help_links": []map[string]string{
			{"text": "Go", "url": "https://go.dev/doc/"},
			{"text": "gonb", "url": "https://github.com/janpfeifer/gonb"},
		},
	}
}

func (k *Kernel) findHistory(m *Message) any {
	var r HistoryRequest
	found := [][3]any{}
	err := json.Unmarshal(m.Content, &r)
	if err == nil && k.history != nil {
		found, err = k.history.Find(r)
	}
	if err != nil {
		return map[string]any{"status": "error", "ename": "Error", "evalue": err.Error(), "traceback": []string{err.Error()}, "history": [][3]any{}}
	}
	return map[string]any{"status": "ok", "history": found}
}

// noteComm remembers which comms are open.
func (k *Kernel) noteComm(m *Message) {
	var c struct {
		ID     string `json:"comm_id"`
		Target string `json:"target_name"`
	}
	switch m.Head.Type {
	case "comm_open":
		if json.Unmarshal(m.Content, &c) == nil {
			k.comms.Store(c.ID, c.Target)
		}
	case "comm_close":
		if json.Unmarshal(m.Content, &c) == nil {
			k.comms.Delete(c.ID)
		}
	}
}

func (k *Kernel) commInfo(m *Message) any {
	var r struct {
		Target string `json:"target_name"`
	}
	json.Unmarshal(m.Content, &r) // without a target all are asked for
	open := map[string]map[string]string{}
	k.comms.Range(func(id, target any) bool {
		if r.Target == "" || r.Target == target {
			open[id.(string)] = map[string]string{"target_name": target.(string)}
		}
		return true
	})
	if k.cfg.Comms != nil {
		for id, target := range k.cfg.Comms.Info(r.Target) {
			open[id] = map[string]string{"target_name": target}
		}
	}
	return map[string]any{"status": "ok", "comms": open}
}

// refuseDebug answers as the debug adapter protocol does.
func refuseDebug(m *Message) any {
	var r struct {
		Seq     int    `json:"seq"`
		Command string `json:"command"`
	}
	json.Unmarshal(m.Content, &r)
	return map[string]any{"type": "response", "request_seq": r.Seq, "success": false, "command": r.Command, "message": "this kernel has no debugger"}
}
