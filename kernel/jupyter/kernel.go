//go:build unix

package jupyter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config says what a kernel is made of.
type Config struct {
	ConnectionFile string   // written by Jupyter; required
	Command        []string // gonb and its flags, without --kernel; required
	Reaper         []string // program that calls [Reaper] with the folder and command that follow; required
	HistoryFile    string   // zero: history is neither kept nor found
	Version        string   // of the kernel, as it tells Jupyter
	Log            io.Writer
	Grace          time.Duration // from an interrupt to SIGKILL; zero: 5 s
	Comms          Comms         // widgets; nil: all comms are gonb's
	Env            []string      // NAME=value, for gonb and so for every cell
	// Prepare is called before each cell with its code. env are variables that cells get
	// from now on, NAME=value; notice is told to the user. Zero: nothing is prepared.
	Prepare func(code string) (env []string, notice string)
	Magics  []Magic
	Root    string   // checkout whose module cells import; zero: none
	Imports []string // packages that cells often import: completion is made ready for them
	Cache   string   // folder of gopls' scratch modules; zero: completion is gonb's
}

// Kernel is a kernel that a front end can talk to.
type Kernel struct {
	cfg     Config
	session string
	front   *channels
	history *History
	queue   chan *Message
	looks   chan *Message // completions and inspections
	stop    context.CancelFunc
	ctx     context.Context

	child       atomic.Pointer[child]
	interrupted atomic.Bool
	running     atomic.Bool                        // a cell
	begun       atomic.Int64                       // that began
	current     current                            // the request of the cell that runs
	asked       atomic.Int64                       // when a cell last asked for input, Unix time in ns
	gonbAsks    atomic.Bool                        // for input, in this cell: by %with_inputs or gonbui.RequestInput
	input       atomic.Pointer[func(string)]       // takes the line that a front end was asked for
	stopMagic   atomic.Pointer[context.CancelFunc] // of a magic that runs
	aborting    atomic.Bool                        // cells that wait behind one that failed

	ledger ledger  // what cells have declared
	looker *looker // nil: gonb completes

	// Used by the goroutine that runs cells alone.
	env     []string       // that Config.Prepare has added
	notices []string       // to tell with the next cell
	count   int            // of cells, as their user sees it
	cells   map[int]source // by gonb's count
	gonb    int            // gonb's count

	comms sync.Map // open comms: id -> target name
}

// New opens the sockets and starts gonb.
func New(cfg Config) (*Kernel, error) {
	if len(cfg.Command) == 0 || len(cfg.Reaper) == 0 {
		return nil, errors.New("jupyter: Config needs Command and Reaper")
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	if cfg.Grace == 0 {
		cfg.Grace = 5 * time.Second
	}
	conn, err := ReadConnection(cfg.ConnectionFile)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	k := &Kernel{cfg: cfg, session: randomID(), queue: make(chan *Message, 10000), looks: make(chan *Message, 100), ctx: ctx, stop: stop, cells: map[int]source{}}
	if cfg.HistoryFile != "" {
		if k.history, err = OpenHistory(cfg.HistoryFile); err != nil {
			fmt.Fprintln(cfg.Log, err) // a kernel without history is still one
		}
	}
	if k.front, err = listen(ctx, conn, k.session); err != nil {
		stop()
		return nil, err
	}
	k.attachComms()
	if program := findGopls(); program != "" && cfg.Cache != "" {
		if k.looker, err = startLooker(program, cfg); err != nil {
			fmt.Fprintln(cfg.Log, err)
		}
	}
	c, err := k.start()
	if err != nil {
		k.Close()
		return nil, err
	}
	k.child.Store(c)
	return k, nil
}

// Run answers requests until the front end asks for the shutdown, ctx is done, or the
// process that started the kernel has gone.
func (k *Kernel) Run(ctx context.Context) error {
	defer k.Close()
	bad := func(err error) { fmt.Fprintln(k.cfg.Log, "front end:", err) }
	go k.front.shell.receive(k.ctx, k.enqueue, bad)
	go k.front.control.receive(k.ctx, k.control, bad)
	go k.front.stdin.receive(k.ctx, k.answered, bad)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if starting, err := NewMessage("status", k.session, nil, map[string]string{"execution_state": "starting"}); err == nil {
		k.publish(starting)
	}
	go k.shell(k.queue)
	go k.shell(k.looks)
	parent, watch := os.Getppid(), time.NewTicker(time.Second)
	defer watch.Stop()
	for {
		select {
		case <-k.ctx.Done():
			return nil
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			if sig == os.Interrupt {
				k.interrupt()
				continue
			}
			return nil
		case <-watch.C:
			if os.Getppid() != parent && os.Getenv("JPY_PARENT_PID") != "" {
				return errors.New("jupyter: the process that started the kernel is gone")
			}
		}
	}
}

// Close ends gonb, every process of a cell, and the sockets.
func (k *Kernel) Close() {
	if c := k.child.Swap(nil); c != nil {
		c.close()
	}
	k.looker.close()
	k.stop()
	k.front.close()
}

// enqueue puts a request in the shell's line; messages of comms go past it, because a
// cell that runs may wait for them.
func (k *Kernel) enqueue(m *Message) {
	switch m.Head.Type {
	case "comm_open", "comm_msg", "comm_close":
		k.comm(m)
		return
	case "complete_request", "inspect_request":
		if k.looker != nil { // while a cell runs, the next one is being typed
			select {
			case k.looks <- m:
				return
			default:
			}
		}
	case "comm_info_request": // a front end that is loaded again asks, perhaps while a cell runs
		k.status(m, "busy")
		if err := k.answer(m); err != nil {
			fmt.Fprintln(k.cfg.Log, m.Head.Type+":", err)
		}
		k.status(m, "idle")
		return
	}
	select {
	case k.queue <- m:
	default:
		fmt.Fprintln(k.cfg.Log, "front end: more than 10000 requests wait, dropped", m.Head.Type)
	}
}

// shell answers one request after another.
func (k *Kernel) shell(queue chan *Message) {
	for {
		select {
		case <-k.ctx.Done():
			return
		case m := <-queue:
			k.status(m, "busy")
			if err := k.answer(m); err != nil {
				fmt.Fprintln(k.cfg.Log, m.Head.Type+":", err)
			}
			k.status(m, "idle")
			if m.Head.Type != "execute_request" { // else front ends show a kernel at rest while a cell runs
				k.current.with(func(cell *Message) { k.status(cell, "busy") })
			}
		}
	}
}

func (k *Kernel) answer(m *Message) error {
	reply := func(kind string, content any) error { return k.reply(k.front.shell, m, kind, content) }
	switch m.Head.Type {
	case "execute_request":
		return k.execute(m)
	case "kernel_info_request":
		return reply("kernel_info_reply", k.info())
	case "is_complete_request":
		var r struct{ Code string }
		if err := json.Unmarshal(m.Content, &r); err != nil {
			return err
		}
		return reply("is_complete_reply", IsComplete(r.Code))
	case "history_request":
		return reply("history_reply", k.findHistory(m))
	case "comm_info_request":
		return reply("comm_info_reply", k.commInfo(m))
	case "debug_request":
		return reply("debug_reply", refuseDebug(m))
	case "complete_request":
		return k.look(m, "complete_reply")
	case "inspect_request":
		return k.look(m, "inspect_reply")
	}
	return fmt.Errorf("a kind of request that is not known; it is not answered")
}

// control answers at once, whatever the shell is doing.
func (k *Kernel) control(m *Message) {
	reply := func(kind string, content any) {
		if err := k.reply(k.front.control, m, kind, content); err != nil {
			fmt.Fprintln(k.cfg.Log, kind+":", err)
		}
	}
	switch m.Head.Type {
	case "interrupt_request":
		reply("interrupt_reply", map[string]string{"status": "ok"})
		k.interrupt()
	case "shutdown_request":
		var r struct{ Restart bool }
		json.Unmarshal(m.Content, &r) // what is not understood is not a restart
		content := map[string]any{"status": "ok", "restart": r.Restart}
		if c := k.child.Swap(nil); c != nil {
			c.close()
		}
		reply("shutdown_reply", content)
		if told, err := NewMessage("shutdown_reply", k.session, m, content); err == nil {
			k.publish(told)
		}
		time.Sleep(50 * time.Millisecond) // for the sockets to be read
		k.stop()
	case "kernel_info_request":
		k.status(m, "busy")
		reply("kernel_info_reply", k.info())
		k.status(m, "idle")
	case "debug_request":
		reply("debug_reply", refuseDebug(m))
	default:
		fmt.Fprintln(k.cfg.Log, "control: a kind of request that is not known:", m.Head.Type)
	}
}

func (k *Kernel) interrupt() {
	if c := k.child.Load(); c != nil && k.running.Load() {
		k.interrupted.Store(true)
		if stop := k.stopMagic.Load(); stop != nil {
			(*stop)()
		}
		cell := k.begun.Load()
		c.interrupt(k.cfg.Grace, func() bool { return !k.running.Load() || k.begun.Load() != cell })
	}
}

// fromGonb passes on what gonb sends.
func (k *Kernel) fromGonb(c *child, channel string, m *Message) {
	w := c.waiter(m.Answer.ID)
	switch channel {
	case "shell", "control":
		if w != nil {
			select {
			case w.reply <- m:
			default:
			}
		}
	case "stdin":
		if w != nil {
			m.Parent = w.request.Header
		}
		k.asked.Store(time.Now().UnixNano())
		k.gonbAsks.Store(true)
		if err := k.front.stdin.send(m); err != nil {
			fmt.Fprintln(k.cfg.Log, "stdin:", err)
		}
	case "iopub":
		if m.Head.Type == "status" {
			var s struct {
				State string `json:"execution_state"`
			}
			if json.Unmarshal(m.Content, &s) == nil && s.State == "idle" && w != nil {
				w.once.Do(func() { close(w.idle) })
			}
			return
		}
		k.noteComm(m)
		asObjects(m)
		if w != nil {
			m.Parent = w.request.Header
			if w.output != nil {
				w.output.deliver(m)
				return
			}
		}
		k.publish(m)
	}
}

func (k *Kernel) publish(m *Message) {
	m.IDs = [][]byte{[]byte("kernel." + strconv.Quote(m.Head.Type))}
	if err := k.front.iopub.send(m); err != nil && k.ctx.Err() == nil {
		fmt.Fprintln(k.cfg.Log, "iopub:", err)
	}
}

// tell publishes a message about a request.
func (k *Kernel) tell(parent *Message, kind string, content any) {
	m, err := NewMessage(kind, k.session, parent, content)
	if err != nil {
		fmt.Fprintln(k.cfg.Log, err)
		return
	}
	k.publish(m)
}

func (k *Kernel) status(parent *Message, state string) {
	k.tell(parent, "status", map[string]string{"execution_state": state})
}

func (k *Kernel) reply(on *channel, to *Message, kind string, content any) error {
	m, err := NewMessage(kind, k.session, to, content)
	if err != nil {
		return err
	}
	return on.send(m)
}
