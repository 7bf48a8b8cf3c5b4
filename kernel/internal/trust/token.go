package trust

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ftlab/kernel/internal/wire"
)

// Scheme begins the address of a server on another machine.
const Scheme = "tls://"

const tokenPrefix = "ftlab-device-1."

// Token is all that a client needs. It is a secret.
type Token struct {
	Addr        string `json:"addr"`      // host:port
	Authority   []byte `json:"authority"` // certificates in DER
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"` // seed
}

// String is one line.
func (t Token) String() string {
	data, _ := json.Marshal(t) // cannot fail: strings and bytes
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(data)
}

// Parse reads a line that [Authority.Issue] has made.
func Parse(line string) (t Token, err error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(line), tokenPrefix)
	if !ok {
		return t, fmt.Errorf("trust: this is no token: one begins with %q; ft device token makes one on the server's machine", tokenPrefix)
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err == nil {
		_, err = t.config()
	}
	if err != nil {
		return t, fmt.Errorf("trust: a damaged token (was all of it pasted?): %w", err)
	}
	return t, nil
}

func (t Token) config() (*tls.Config, error) {
	authority, err := x509.ParseCertificate(t.Authority)
	if err != nil {
		return nil, err
	}
	if len(t.Key) != ed25519.SeedSize {
		return nil, errors.New("no key")
	}
	if _, _, err := net.SplitHostPort(t.Addr); err != nil {
		return nil, err
	}
	return config(authority, t.Certificate, ed25519.NewKeyFromSeed(t.Key)), nil
}

// URL is the address to connect to, for FTLAB_DEVICE.
func (t Token) URL() string { return Scheme + t.Addr }

// Store keeps the token for [Dial], in the user's configuration, in a file that only the
// user can read.
func (t Token) Store() error {
	path, err := stored(t.Addr)
	if err == nil {
		err = wire.PrivateDir(filepath.Dir(path))
	}
	if err == nil {
		err = writePrivate(path, []byte(t.String()+"\n"))
	}
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	return nil
}

func stored(addr string) (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == ':' || r == '\\' {
			return '_'
		}
		return r
	}, addr)
	return filepath.Join(dir, "ftlab", "devices", name+".token"), nil
}

// Dial connects to a server (tls://HOST:PORT) with the token that was stored for it.
func Dial(url string) (net.Conn, error) {
	addr := strings.TrimPrefix(url, Scheme)
	path, err := stored(addr)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	line, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("trust: no token for %s: make one on the server's machine with ft device token, and store it here with ft device connect TOKEN: %w", url, err)
	}
	t, err := Parse(string(line))
	if err != nil {
		return nil, err
	}
	return t.dial()
}

func (t Token) dial() (net.Conn, error) {
	c, err := t.config()
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 2 * patience, KeepAlive: 15 * time.Second}, Config: c}
	return d.Dial("tcp", t.Addr)
}
