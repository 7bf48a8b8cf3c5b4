//go:build unix

package main

import (
	"fmt"
	"net/url"

	"ftlab/kernel/jupyter"
	"ftlab/kernel/session"
)

// dropResident frees a model that is resident.
func dropResident(c jupyter.Call, name string) error {
	b, err := session.Connect("")
	if err != nil {
		return err
	}
	gone, err := b.Drop("models/" + url.PathEscape(name))
	if err != nil {
		return err
	}
	if len(gone) == 0 {
		return fmt.Errorf("%q is not resident; %%ft lists what is", name)
	}
	c.Show(fmt.Sprintf("dropped %s\n", name), "")
	return nil
}

// residentNames are what can be dropped.
func residentNames() []string {
	rows, err := residents()
	if err != nil {
		return nil
	}
	var out []string
	for _, row := range rows[1:] {
		out = append(out, row[0])
	}
	return out
}
