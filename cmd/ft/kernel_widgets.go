//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"ftlab/kernel/notebook"
	"ftlab/kernel/widget"
)

// startWidgets makes the hub that holds the widgets of a kernel, and the socket by
// which cells reach it: its name is in their environment.
func startWidgets(log io.Writer) (hub *widget.Hub, end func(), err error) {
	dir, err := os.MkdirTemp("", "ftw")
	if err != nil {
		return nil, nil, fmt.Errorf("kernel: %w", err)
	}
	socket := filepath.Join(dir, "kernel")
	l, err := widget.Listen(socket)
	if err == nil {
		err = os.Setenv(widget.SocketEnv, socket)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	hub = widget.NewHub()
	hub.Log = log
	hub.Host(notebook.HostedWatch, notebook.HostWatch)
	hub.Host(notebook.HostedChooser, notebook.HostChooser)
	go func() {
		if err := hub.Serve(l); err != nil {
			fmt.Fprintln(log, err)
		}
	}()
	return hub, func() {
		ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
		defer stop()
		os.RemoveAll(dir) // first: who started the kernel may not have the patience for the rest
		hub.Shutdown(ctx)
		l.Close()
	}, nil
}
