package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ftlab/kernel/internal/wire"
)

// Files in Options.State beside the checkpoint.
const (
	runningName = "server.json" // a Record, while a server runs; its time is the last pulse
	triedName   = "restoring"   // there while a server restores: it is too much if that kills it
	lockName    = "lock"        // locked by the server that has the folder
)

// Record describes the server that has a state folder, or had it and died.
type Record struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Args    []string  `json:"args"` // how it was started
	Seen    time.Time `json:"-"`    // when it was last known to live
}

// ReadRecord returns the record of a server that has not ended by itself: it runs, or it
// died. There is none after an orderly end.
func ReadRecord(state string) (r Record, ok bool) {
	path := filepath.Join(state, runningName)
	info, err := os.Stat(path)
	if err != nil {
		return r, false
	}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &r) != nil {
		return r, false
	}
	r.Seen = info.ModTime()
	return r, true
}

// notice is what the next programs are told once.
type notice struct {
	text string
	told map[string]bool // by who asks
}

// Recover takes over Options.State and restores what the last server has saved there.
// It waits a minute for a server that is about to end. What cannot be restored is moved
// aside, and the server starts without; so is everything with fresh. If the last server
// died, or something is missing, the text says so, and the next programs are told.
func (s *Server) Recover(args []string, fresh bool) (text string, err error) {
	dir, err := filepath.Abs(s.options.State)
	if err != nil {
		return "", fmt.Errorf("device: %w", err)
	}
	s.options.State = dir
	if err := wire.PrivateDir(dir); err != nil {
		return "", fmt.Errorf("device: the state folder: %w", err)
	}
	if s.saver.release, err = lockState(dir); err != nil {
		return "", err
	}
	last, died := ReadRecord(dir)
	tried := exists(filepath.Join(dir, triedName))
	if err := s.writeRecord(args); err != nil {
		return "", fmt.Errorf("device: the state folder: %w", err)
	}
	x, err := readIndex(dir)
	switch {
	case fresh:
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			_, err = s.setAside("before")
		} else {
			err = nil
		}
		return "", err
	case errors.Is(err, fs.ErrNotExist):
		text = "Nothing had been saved."
	case err == nil && tried:
		err = errors.New("a server died while it restored this, perhaps of too little memory")
	case err == nil:
		if err := os.WriteFile(filepath.Join(dir, triedName), nil, 0o600); err != nil {
			return "", fmt.Errorf("device: the state folder: %w", err)
		}
		var saved wire.Saved
		if saved, err = s.restore(dir); err == nil {
			text = fmt.Sprintf("It has restored %d tensors (%s) as they were kept at %s; what was kept later is lost.", saved.Tensors, size(saved.Bytes), clock(x.Time))
			s.mu.Lock()
			s.saver.last, s.saver.saved = saved, s.saver.changes
			s.mu.Unlock()
			err = sweep(dir, x) // what a killed server left of a checkpoint
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		aside, moved := s.setAside("damaged")
		if moved != nil {
			return "", fmt.Errorf("device: %w; and it cannot be moved away: %w", err, moved)
		}
		died = true // it is news in any case
		text = fmt.Sprintf("What was kept could not be restored: %v. The files are in %s; ft device restore %s tries again.", err, aside, aside)
	}
	if err := os.Remove(filepath.Join(dir, triedName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("device: the state folder: %w", err)
	}
	if !died {
		return "", nil
	}
	if last.PID != 0 {
		text = fmt.Sprintf("The device server (process %d) had died; it was last seen alive at %s. It was started again. %s", last.PID, clock(last.Seen), text)
	} else {
		text = "The device server was started. " + text
	}
	s.notice = notice{text: text, told: map[string]bool{}}
	return text, nil
}

// lockState waits a while for a server that ends: it may be saving.
func lockState(dir string) (release func(), err error) {
	path := filepath.Join(dir, lockName)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		release, err = wire.Lock(path, false)
		if err == nil {
			return release, nil
		}
		if !errors.Is(err, wire.ErrLocked) {
			return nil, fmt.Errorf("device: the state folder: %w", err)
		}
		if time.Now().After(end) {
			r, _ := ReadRecord(dir)
			return nil, fmt.Errorf("device: the state folder %s belongs to another server (process %d): stop it, or name another folder (--state)", dir, r.PID)
		}
	}
}

func (s *Server) writeRecord(args []string) error {
	data, err := json.MarshalIndent(Record{PID: os.Getpid(), Started: time.Now().Round(0), Args: args}, "", " ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(s.options.State, runningName), data)
}

// setAside moves a checkpoint to a folder beside the state folder, where it takes the
// place of the one that was moved there before.
func (s *Server) setAside(why string) (to string, err error) {
	dir := s.options.State
	to = strings.TrimSuffix(dir, "/") + "." + why
	if err := os.RemoveAll(to); err != nil {
		return to, err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return to, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return to, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "kept") {
			if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return to, err
			}
		}
	}
	return to, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// alive notes that the server lives.
func (s *Server) alive(now time.Time) {
	if s.saver.release != nil {
		_ = os.Chtimes(filepath.Join(s.options.State, runningName), now, now) // only a time in a message
	}
}

// lastSave is the end: what is kept is written, and the record goes.
func (s *Server) lastSave() {
	err := s.saveChanges()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saver.leave = true
	if s.saver.release != nil && err == nil {
		if err := os.Remove(filepath.Join(s.options.State, runningName)); err != nil {
			log.Printf("device: %v", err)
		}
	}
}

// news returns the notice to each reader once; "" is a reader too.
func (s *Server) news(reader string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notice.text == "" || s.notice.told[reader] {
		return ""
	}
	s.notice.told[reader] = true
	return s.notice.text
}
