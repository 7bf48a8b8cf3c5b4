//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ftlab/ftlib/lab"
	"ftlab/kernel/jupyter"
)

// keepResident makes a model resident, from its files unless it is.
func keepResident(c jupyter.Call, name string) error {
	if at := inFolder(c.Dir, name); filepath.Base(name) != name {
		if _, err := os.Stat(at); err == nil {
			name = at // relative to the notebook, not to the kernel
		}
	}
	m, err := lab.Model(name)
	if err != nil {
		return err
	}
	defer m.Close()
	list, err := lab.List()
	if err != nil {
		return err
	}
	c.Show(list.String()+"\n", list.HTML())
	return nil
}

// dropResident frees a model that is resident.
func dropResident(c jupyter.Call, name string) error {
	err := lab.Drop(name)
	if at := inFolder(c.Dir, name); errors.Is(err, lab.ErrNotResident) && at != name && lab.Drop(at) == nil {
		err = nil
	}
	if err != nil {
		return err
	}
	c.Show(fmt.Sprintf("dropped %s\n", name), "")
	return nil
}

// residentNames are what can be dropped.
func residentNames() []string {
	list, err := lab.List()
	if err != nil {
		return nil
	}
	var out []string
	for _, r := range list {
		out = append(out, r.Name)
	}
	return out
}

// modelNames are the models that come with the checkout.
func modelNames() []string {
	root, err := findRoot()
	if err != nil {
		return nil
	}
	files, _ := filepath.Glob(filepath.Join(root, "models", "*", "config.json"))
	var out []string
	for _, f := range files {
		out = append(out, filepath.Base(filepath.Dir(f)))
	}
	return out
}
