// Command ft is FTLab's command line: look at data, fine-tune, talk to a model,
// compare runs. It is thin: every command is a few calls into ftlib.
//
//	ft doctor                  what this machine can do
//	ft data show FILE          what is in a data file and how it is understood
//	ft train RUN.yaml          fine-tune
//	ft chat --model DIR        talk to the result
//
// Exit codes: 0 success, 1 failure, 2 bad usage or input, 3 data refused,
// 4 backend missing or broken, 130 interrupted.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"ftlab/ftlib/backend"
)

func main() {
	backend.HugePages()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first Ctrl-C asks: a run ends its step and saves. The second one kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
