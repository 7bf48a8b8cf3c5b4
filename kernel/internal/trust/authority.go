package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ftlab/kernel/internal/wire"
)

// serverName is in the server's certificate: a client checks this and not the host, which
// may have several names.
const serverName = "ftlab-device"

// Authority issues tokens for one user's device server.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

// Issued is a token that was given out.
type Issued struct {
	ID      string    `json:"id"` // number of its certificate, hexadecimal
	Name    string    `json:"name"`
	Addr    string    `json:"addr"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	Revoked bool      `json:"revoked"`
}

// Open reads the authority of a folder, which it makes if needed. The folder must be
// this user's alone.
func Open(dir string) (*Authority, error) {
	if err := wire.PrivateDir(dir); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	release, err := wire.Lock(filepath.Join(dir, "lock"), true)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	defer release()
	a, path := &Authority{dir: dir}, filepath.Join(dir, "authority.pem")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return a, a.found(path)
	}
	if err == nil {
		a.cert, a.key, err = readPair(data)
	}
	if err != nil {
		return nil, fmt.Errorf("trust: %s: %w; remove it to start anew, which makes all tokens void", path, err)
	}
	return a, nil
}

// found makes the authority.
func (a *Authority) found(path string) error {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	template := certificate("FTLab device authority", 20*365*24*time.Hour)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err == nil {
		a.key = key
		if a.cert, err = x509.ParseCertificate(der); err == nil {
			err = writePrivate(path, pair(der, key))
		}
	}
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	return nil
}

func certificate(name string, valid time.Duration) *x509.Certificate {
	number, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)) // rand.Reader cannot fail
	now := time.Now()
	return &x509.Certificate{SerialNumber: number, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-5 * time.Minute), NotAfter: now.Add(valid), KeyUsage: x509.KeyUsageDigitalSignature} // clocks differ a little
}

// sign makes a key and its certificate.
func (a *Authority) sign(template *x509.Certificate) (der []byte, key ed25519.PrivateKey, err error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err = x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	return der, key, err
}

// Issue makes a token for a client, to be used with the server at addr (host:port).
func (a *Authority) Issue(name, addr string, valid time.Duration) (token string, made Issued, err error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return "", made, fmt.Errorf("trust: the address %q is not HOST:PORT: %w", addr, err)
	}
	template := certificate(name, valid)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, key, err := a.sign(template)
	if err != nil {
		return "", made, fmt.Errorf("trust: %w", err)
	}
	made = Issued{ID: hex.EncodeToString(template.SerialNumber.Bytes()), Name: name, Addr: addr, Made: time.Now(), Expires: template.NotAfter}
	err = a.change(func(list []Issued) ([]Issued, error) { return append(list, made), nil })
	return Token{Addr: addr, Authority: a.cert.Raw, Certificate: der, Key: key.Seed()}.String(), made, err
}

// Tokens are those that were given out and not forgotten.
func (a *Authority) Tokens() (list []Issued, err error) {
	data, err := os.ReadFile(a.list())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("trust: %s: %w", a.list(), err)
	}
	return list, nil
}

// Revoke ends a token; id may be its beginning, or its name.
func (a *Authority) Revoke(id string) (revoked Issued, err error) {
	err = a.change(func(list []Issued) ([]Issued, error) {
		found := -1
		for i, t := range list {
			if t.ID == id || t.Name == id && !t.Revoked || len(id) >= 4 && len(id) < len(t.ID) && t.ID[:len(id)] == id {
				if found >= 0 {
					return nil, fmt.Errorf("trust: %q is the beginning or name of several tokens", id)
				}
				found = i
			}
		}
		if found < 0 {
			return nil, fmt.Errorf("trust: no token %q; ft device token list shows them", id)
		}
		list[found].Revoked = true
		revoked = list[found]
		return list, nil
	})
	return revoked, err
}

func (a *Authority) list() string { return filepath.Join(a.dir, "tokens.json") }

func (a *Authority) change(f func([]Issued) ([]Issued, error)) error {
	release, err := wire.Lock(filepath.Join(a.dir, "lock"), true)
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	defer release()
	list, err := a.Tokens()
	if err == nil {
		list, err = f(list)
	}
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err == nil {
		err = writePrivate(a.list(), data)
	}
	return err
}

// valid says whether a certificate that the authority has signed is of a token that
// still counts. One that is not in the list does not.
func (a *Authority) valid(cert *x509.Certificate) error {
	list, err := a.Tokens()
	if err != nil {
		return err
	}
	id := hex.EncodeToString(cert.SerialNumber.Bytes())
	i := slices.IndexFunc(list, func(t Issued) bool { return t.ID == id })
	if i < 0 || list[i].Revoked {
		return fmt.Errorf("trust: the token %s was revoked", id)
	}
	return nil
}

// server is what the server shows and asks for.
func (a *Authority) server() (*tls.Config, error) {
	template := certificate(serverName, 10*365*24*time.Hour)
	template.DNSNames, template.ExtKeyUsage = []string{serverName}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, key, err := a.sign(template)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	c := config(a.cert, der, key)
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, c.RootCAs
	c.SessionTicketsDisabled = true // a session taken up again would not show its certificate
	c.VerifyConnection = func(s tls.ConnectionState) error { return a.valid(s.PeerCertificates[0]) }
	return c, nil
}

func config(authority *x509.Certificate, der []byte, key ed25519.PrivateKey) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: serverName, RootCAs: roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func pair(der []byte, key ed25519.PrivateKey) []byte {
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "ED25519 SEED", Bytes: key.Seed()})...)
}

func readPair(data []byte) (*x509.Certificate, ed25519.PrivateKey, error) {
	first, rest := pem.Decode(data)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil || len(second.Bytes) != ed25519.SeedSize {
		return nil, nil, errors.New("a certificate and its key are expected")
	}
	cert, err := x509.ParseCertificate(first.Bytes)
	return cert, ed25519.NewKeyFromSeed(second.Bytes), err
}

// writePrivate replaces a file that only this user can read.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = bytes.NewReader(data).WriteTo(f)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
