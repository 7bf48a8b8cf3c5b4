package jupyter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Connection is the content of a connection file: where the five sockets are and the
// key that signs messages.
type Connection struct {
	Transport string `json:"transport"` // tcp or ipc
	IP        string `json:"ip"`        // for ipc, a path that "-port" is added to
	Shell     int    `json:"shell_port"`
	Control   int    `json:"control_port"`
	Stdin     int    `json:"stdin_port"`
	IOPub     int    `json:"iopub_port"`
	Heartbeat int    `json:"hb_port"`
	Key       string `json:"key"`
	Scheme    string `json:"signature_scheme"`
}

// ReadConnection reads the file that Jupyter writes for a kernel.
func ReadConnection(path string) (Connection, error) {
	var c Connection
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("jupyter: connection file: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("jupyter: connection file %s: %w", path, err)
	}
	if c.Transport != "tcp" && c.Transport != "ipc" {
		return c, fmt.Errorf("jupyter: connection file %s: transport %q; tcp and ipc are known", path, c.Transport)
	}
	if c.Key != "" && c.Scheme != "hmac-sha256" {
		return c, fmt.Errorf("jupyter: connection file %s: signature_scheme %q; hmac-sha256 is known", path, c.Scheme)
	}
	if c.IP == "" {
		return c, errors.New("jupyter: connection file " + path + ": no ip")
	}
	return c, nil
}

// write stores the connection for a child, readable by this user only.
func (c Connection) write(path string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// address of one of the ports, as ZeroMQ wants it.
func (c Connection) address(port int) string {
	if c.Transport == "ipc" {
		return fmt.Sprintf("ipc://%s-%d", c.IP, port)
	}
	return fmt.Sprintf("tcp://%s:%d", c.IP, port)
}
