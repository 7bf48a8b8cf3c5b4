package main

import (
	"bytes"
	"os"
	"testing"
)

// The methods in the repository are those of the GoMLX in go.mod.
func TestStubsAreCurrent(t *testing.T) {
	want, err := stubs()
	if err != nil {
		t.Fatal(err)
	}
	for name, src := range want {
		got, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, src) {
			t.Errorf("%s is old: run go generate ./kernel/session", name)
		}
	}
}
