package jupyter

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// protocol is the version of Jupyter's message protocol that is spoken.
const protocol = "5.4"

// delimiter separates the identities of the receiver from the message.
var delimiter = []byte("<IDS|MSG>")

// ErrSignature says that a message was signed with another key, or changed on its way.
var ErrSignature = errors.New("jupyter: message with a wrong signature")

// Header describes a message.
type Header struct {
	ID       string `json:"msg_id"`
	Session  string `json:"session"`
	Username string `json:"username"`
	Date     string `json:"date"`
	Type     string `json:"msg_type"`
	Version  string `json:"version"`
}

// Message is one message of the Jupyter protocol. The four parts stay the bytes that
// came: what passes through is not changed by reading and writing it.
type Message struct {
	IDs      [][]byte // whom it goes to or came from; on iopub, the topic
	Header   json.RawMessage
	Parent   json.RawMessage
	Metadata json.RawMessage
	Content  json.RawMessage
	Buffers  [][]byte

	Head   Header // Header, read
	Answer Header // Parent, read; empty when the message answers nothing
}

// Parse checks and reads the frames of a message.
func Parse(frames [][]byte, key []byte) (*Message, error) {
	at := 0
	for at < len(frames) && !bytes.Equal(frames[at], delimiter) {
		at++
	}
	if len(frames)-at < 6 {
		return nil, fmt.Errorf("jupyter: message of %d frames, %d of them after the identities; want at least 6", len(frames), max(0, len(frames)-at))
	}
	parts := frames[at+2:]
	if len(key) > 0 {
		got := make([]byte, hex.DecodedLen(len(frames[at+1])))
		if _, err := hex.Decode(got, frames[at+1]); err != nil || !hmac.Equal(got, sum(parts[:4], key)) {
			return nil, ErrSignature
		}
	}
	m := &Message{IDs: frames[:at], Header: parts[0], Parent: parts[1], Metadata: parts[2], Content: parts[3], Buffers: parts[4:]}
	for _, part := range parts[:4] {
		if !json.Valid(part) {
			return nil, fmt.Errorf("jupyter: a part of a message is not JSON: %.40q", part)
		}
	}
	if err := json.Unmarshal(m.Header, &m.Head); err != nil || m.Head.Type == "" {
		return nil, fmt.Errorf("jupyter: message header %.80q has no msg_type", m.Header)
	}
	if err := json.Unmarshal(m.Parent, &m.Answer); err != nil {
		return nil, fmt.Errorf("jupyter: parent header %.80q: %w", m.Parent, err)
	}
	return m, nil
}

// Frames is the message as it goes over the wire, signed with key.
func (m *Message) Frames(key []byte) [][]byte {
	parts := [][]byte{m.Header, m.Parent, m.Metadata, m.Content}
	signature := []byte{}
	if len(key) > 0 {
		signature = hex.AppendEncode(nil, sum(parts, key))
	}
	frames := append([][]byte{}, m.IDs...)
	frames = append(frames, delimiter, signature)
	frames = append(frames, parts...)
	return append(frames, m.Buffers...)
}

// withSession is the message as one of another session.
func (m *Message) withSession(id string) (*Message, error) {
	var header map[string]json.RawMessage
	if err := json.Unmarshal(m.Header, &header); err != nil {
		return nil, fmt.Errorf("jupyter: header of %s: %w", m.Head.Type, err)
	}
	header["session"] = mustJSON(id)
	out := *m
	out.Header, out.Head.Session = mustJSON(header), id
	return &out, nil
}

func sum(parts [][]byte, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// NewMessage makes a message that answers parent, which may be nil, and goes to the
// same identities.
func NewMessage(kind, session string, parent *Message, content any) (*Message, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("jupyter: content of %s: %w", kind, err)
	}
	m := &Message{Parent: json.RawMessage("{}"), Metadata: json.RawMessage("{}"), Content: body}
	m.Head = Header{ID: randomID(), Session: session, Username: "kernel", Date: time.Now().UTC().Format(time.RFC3339Nano), Type: kind, Version: protocol}
	if parent != nil {
		m.IDs, m.Parent, m.Answer = parent.IDs, parent.Header, parent.Head
	}
	if m.Header, err = json.Marshal(m.Head); err != nil {
		return nil, fmt.Errorf("jupyter: header of %s: %w", kind, err)
	}
	return m, nil
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
