package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/llm"
	"ftlab/internal/serve"
)

func init() { commands = append(commands, serveCmd) }

// serveFlags are those of ft serve.
type serveFlags struct {
	modelFlags
	adapters    []string
	name, token string
	port, queue int
}

func serveCmd() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve --model DIR [--with NAME=ADAPTER]...",
		Short: "Answer over HTTP as OpenAI's endpoints do",
		Long: `Listens on this machine alone and answers /v1/chat/completions, /v1/completions and
/v1/models, streams included, for programs that speak OpenAI's protocol; the address itself
is a page to chat on. Requests bear a token (Authorization: Bearer TOKEN), which is made
anew and printed unless --token or FTLAB_SERVE_TOKEN gives one.

All adapters stay in memory; a request chooses one by its name as "model". One request is
answered at a time, the others wait. Ctrl-C lets answers under way finish; a second one
does not.`,
		Example: `  ft serve --model models/ft-tiny --with tuned=runs/NAME/step-200
  curl http://127.0.0.1:8642/v1/chat/completions -H "Authorization: Bearer $TOKEN" \
    -d '{"model": "tuned", "messages": [{"role": "user", "content": "Hello"}]}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.modelFlags.add(cmd)
	f.addTemplate(cmd)
	fl := cmd.Flags()
	fl.StringArrayVar(&f.adapters, "with", nil, "a further adapter, NAME=DIR; may be repeated")
	fl.StringVar(&f.name, "name", "", "name of the model without an adapter (default: of its directory)")
	fl.StringVar(&f.token, "token", "", "that requests must bear (default: FTLAB_SERVE_TOKEN, else a new one)")
	fl.IntVar(&f.port, "port", 8642, "to listen on; 0: a free one")
	fl.IntVar(&f.queue, "queue", 32, "requests that may wait")
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) error {
	tok, err := f.tokenizer()
	if err != nil {
		return err
	}
	dir, err := f.dir()
	if err != nil {
		return err
	}
	o := serve.Options{Model: f.name, Adapters: map[string]*llm.Adapter{}, Templates: map[string]*chat.Template{}, Tokenizer: tok, Token: f.token, Queue: f.queue}
	if o.Model == "" {
		o.Model = filepath.Base(dir)
	}
	if f.adapter != "" {
		f.adapters = append(f.adapters, filepath.Base(f.adapter)+"="+f.adapter)
		f.adapter = ""
	}
	if o.Template, err = f.chatTemplate(); err != nil && (f.template != "" || !errors.Is(err, chat.ErrNoTemplate)) {
		return err
	}
	if o.Token == "" {
		o.Token = os.Getenv("FTLAB_SERVE_TOKEN")
	}
	if o.Token == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		o.Token = hex.EncodeToString(b[:])
	}
	m, err := f.load()
	if err != nil {
		return err
	}
	defer m.Close()
	for _, arg := range f.adapters {
		name, path, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return usageErrorf("--with %q is not NAME=DIR", arg)
		}
		if o.Adapters[name] != nil {
			return usageErrorf("--with: %s is named twice", name)
		}
		a, err := m.LoadAdapter(path)
		if err != nil {
			return withCode(exitUsage, err)
		}
		m.SetAdapter(nil)
		defer a.Close()
		o.Adapters[name] = a
		if own := filepath.Join(path, "chat_template.jinja"); f.template == "" {
			if _, err := os.Stat(own); err == nil {
				if o.Templates[name], err = chat.Find(own, dir); err != nil {
					return withCode(exitUsage, err)
				}
			}
		}
	}
	g, err := llm.NewGenerator(m, llm.GeneratorOptions{Tokenizer: tok, Chunk: 8})
	if err != nil {
		return err
	}
	defer g.Close()
	s, err := serve.New(g, o)
	if err != nil {
		return withCode(exitUsage, err)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", f.port))
	if err != nil {
		return fmt.Errorf("serve: %w; choose another port with --port", err)
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "http://%s/v1  token %s\nhttp://%s/#token=%s  to chat in a browser\n", l.Addr(), o.Token, l.Addr(), o.Token)
	return serveUntil(cmd.Context(), l, s.Handler())
}

// serveUntil answers until ctx ends; answers under way then have a minute to finish.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		return errors.Join(fmt.Errorf("serve: answers were cut off: %w", err), srv.Close())
	}
	return nil
}
