package gopls

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
)

// Config says how to start gopls.
type Config struct {
	Program string   // zero: gopls, from the PATH
	Dir     string   // of a module; its main.go is the file asked about
	Env     []string // NAME=value, over this process's environment
	Log     io.Writer
}

// Position is a place in the file: lines from 0, then units of UTF-16.
type Position struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

// Range is from a place to another.
type Range struct{ Start, End Position }

// Item is something that could be written.
type Item struct {
	Label  string
	Text   string // what is written
	Range  Range  // what it replaces
	Kind   int    // of the protocol's CompletionItemKind
	Detail string // its type or signature
}

// Client is a running gopls.
type Client struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	uri  string
	done chan struct{} // closed when gopls has ended

	write   sync.Mutex
	mu      sync.Mutex
	next    int
	waiting map[int]chan message
	version int
	text    string
}

// ErrGone says that gopls has ended.
var ErrGone = errors.New("gopls: it has ended")

// message is any message of the protocol.
type message struct {
	ID     json.RawMessage `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params any             `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// silent is the environment in which gopls counts nothing about its user and starts no
// process of its own to do so: the only way to say it is a file in the folder of
// settings, which so is one of this gopls alone. Go's other settings stay.
func silent(dir string) []string {
	config := filepath.Join(dir, ".config")
	mode := filepath.Join(config, "go", "telemetry", "mode")
	if os.MkdirAll(filepath.Dir(mode), 0o700) != nil || os.WriteFile(mode, []byte("off"), 0o600) != nil {
		return nil // a full disk: completion may work all the same
	}
	env := []string{"XDG_CONFIG_HOME=" + config}
	if usual, err := os.UserConfigDir(); err == nil && os.Getenv("GOENV") == "" {
		env = append(env, "GOENV="+filepath.Join(usual, "go", "env"))
	}
	return env
}

// startBound starts a program that ends with this one, also when this one is killed. The
// signal for that comes at the end of the thread that started it, which so stays until
// ended is closed.
func startBound(cmd *exec.Cmd, ended <-chan struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-ended
		}
	}()
	return <-started
}

// Start starts gopls on a folder and returns when it can be asked.
func Start(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Program == "" {
		cfg.Program = "gopls"
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("gopls: %w", err)
	}
	cmd := exec.Command(cfg.Program)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(append(os.Environ(), silent(dir)...), cfg.Env...), cfg.Log
	detach(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("gopls: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("gopls: %w", err)
	}
	ended := make(chan struct{})
	if err := startBound(cmd, ended); err != nil {
		return nil, fmt.Errorf("gopls: %w", err)
	}
	yieldTo(cmd.Process.Pid)
	uri := func(path string) string { return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String() }
	c := &Client{cmd: cmd, in: in, uri: uri(filepath.Join(dir, "main.go")), done: make(chan struct{}), waiting: map[int]chan message{}}
	go func() {
		c.read(bufio.NewReader(out))
		killGroup(cmd.Process.Pid)
		cmd.Wait()
		close(ended)
		close(c.done)
	}()
	initial := map[string]any{
		"processId": os.Getpid(),
		"rootUri":   uri(dir),
		"capabilities": map[string]any{
			"workspace": map[string]any{"configuration": false},
			"textDocument": map[string]any{
				"completion": map[string]any{"completionItem": map[string]any{"snippetSupport": false}},
				"hover":      map[string]any{"contentFormat": []string{"markdown"}},
			},
			"general": map[string]any{"positionEncodings": []string{"utf-16"}},
		},
		"initializationOptions": map[string]any{
			"completeUnimported": true, "completionBudget": "100ms", "usePlaceholders": false,
			"diagnosticsTrigger": "Save", "staticcheck": false, "semanticTokens": false, "linksInHover": false,
			"experimentalPostfixCompletions": false, "symbolScope": "workspace",
		},
	}
	if err := c.call(ctx, "initialize", initial, nil); err != nil {
		c.Close()
		return nil, err
	}
	return c, c.send(message{Method: "initialized", Params: struct{}{}})
}

// Alive says whether gopls runs.
func (c *Client) Alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// Close ends gopls and what it started.
func (c *Client) Close() {
	c.in.Close()
	killGroup(c.cmd.Process.Pid)
	<-c.done
}

// Update makes text the content of the file.
func (c *Client) Update(text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version > 0 && text == c.text {
		return nil
	}
	c.version++
	c.text = text
	if c.version == 1 {
		return c.send(message{Method: "textDocument/didOpen", Params: map[string]any{
			"textDocument": map[string]any{"uri": c.uri, "languageId": "go", "version": c.version, "text": text}}})
	}
	return c.send(message{Method: "textDocument/didChange", Params: map[string]any{
		"textDocument":   map[string]any{"uri": c.uri, "version": c.version},
		"contentChanges": []any{map[string]any{"text": text}}}})
}

func (c *Client) at(p Position) any {
	return map[string]any{"textDocument": map[string]any{"uri": c.uri}, "position": p}
}

// Complete returns what could be written at a place, the best first.
func (c *Client) Complete(ctx context.Context, p Position) ([]Item, error) {
	var list struct {
		Items []struct {
			Label      string
			Kind       int
			Detail     string
			InsertText string
			TextEdit   *struct {
				Range   *Range
				Insert  *Range
				NewText string
			}
		}
	}
	if err := c.call(ctx, "textDocument/completion", c.at(p), &list); err != nil {
		return nil, err
	}
	var out []Item
	for _, i := range list.Items {
		it := Item{Label: i.Label, Text: i.Label, Range: Range{p, p}, Kind: i.Kind, Detail: i.Detail}
		if i.InsertText != "" {
			it.Text = i.InsertText
		}
		if e := i.TextEdit; e != nil {
			it.Text = e.NewText
			if e.Range != nil {
				it.Range = *e.Range
			} else if e.Insert != nil {
				it.Range = *e.Insert
			}
		}
		out = append(out, it)
	}
	return out, nil
}

// Hover describes what stands at a place, as Markdown; "" if there is nothing.
func (c *Client) Hover(ctx context.Context, p Position) (string, error) {
	var got struct{ Contents struct{ Value string } }
	err := c.call(ctx, "textDocument/hover", c.at(p), &got)
	return got.Contents.Value, err
}

// call sends a request and reads its result.
func (c *Client) call(ctx context.Context, method string, params, result any) error {
	c.mu.Lock()
	c.next++
	id, answer := c.next, make(chan message, 1)
	c.waiting[id] = answer
	c.mu.Unlock()
	defer func() { c.mu.Lock(); delete(c.waiting, id); c.mu.Unlock() }()
	if err := c.send(message{ID: json.RawMessage(strconv.Itoa(id)), Method: method, Params: params}); err != nil {
		return err
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			return errors.New("gopls: " + method + ": " + m.Error.Message)
		}
		if result == nil || len(m.Result) == 0 {
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-c.done:
		return ErrGone
	case <-ctx.Done():
		c.send(message{Method: "$/cancelRequest", Params: map[string]any{"id": id}})
		return fmt.Errorf("gopls: %s: %w", method, ctx.Err())
	}
}

func (c *Client) send(m message) error {
	data, err := json.Marshal(struct {
		Version string `json:"jsonrpc"`
		message
	}{"2.0", m})
	if err != nil {
		return fmt.Errorf("gopls: %w", err)
	}
	c.write.Lock()
	defer c.write.Unlock()
	if _, err := fmt.Fprintf(c.in, "Content-Length: %d\r\n\r\n%s", len(data), data); err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

// maxMessage bounds what gopls may send at once.
const maxMessage = 64 << 20

// read handles what gopls sends until it ends.
func (c *Client) read(r *bufio.Reader) {
	for {
		header, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			return
		}
		n, err := strconv.Atoi(header.Get("Content-Length"))
		if err != nil || n < 0 || n > maxMessage {
			return
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return
		}
		var m message
		if json.Unmarshal(data, &m) != nil {
			continue
		}
		if m.Method != "" {
			if len(m.ID) > 0 { // a request: nothing of it matters here
				c.send(message{ID: m.ID, Result: json.RawMessage("null")})
			}
			continue
		}
		id, err := strconv.Atoi(string(m.ID))
		if err != nil {
			continue
		}
		c.mu.Lock()
		answer := c.waiting[id]
		c.mu.Unlock()
		if answer != nil {
			answer <- m
		}
	}
}
