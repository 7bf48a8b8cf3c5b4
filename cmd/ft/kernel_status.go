//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"path/filepath"
	"slices"
	"strings"

	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/lab"
	"ftlab/kernel/jupyter"
	"ftlab/kernel/session"
)

// showStatus shows the device server, what is resident and the runs of the notebook.
func showStatus(ctx context.Context, c jupyter.Call) error {
	var text bytes.Buffer
	var page strings.Builder
	head := func(title, rest string) {
		fmt.Fprintf(&text, "%s: %s\n", title, rest)
		fmt.Fprintf(&page, "<p><b>%s</b>: %s</p>", html.EscapeString(title), html.EscapeString(rest))
	}
	rows := func(list [][]string) error {
		page.WriteString(htmlTable(list))
		return table(&text, list)
	}
	b, err := session.Connect("")
	switch {
	case errors.Is(err, session.ErrNoServer):
		head("device server", "none; it starts with the next cell that computes")
	case err != nil:
		head("device server", err.Error())
	default:
		stats, err := b.Stats()
		if err != nil {
			return err
		}
		head("device server", fmt.Sprintf("%s, process %d, %d tensors of %.1f MB (kept: %.1f MB), %d programs compiled", shortBackend(stats.Backend), stats.PID,
			stats.Buffers, float64(stats.Bytes)/1e6, float64(stats.KeptBytes)/1e6, stats.Executables))
		list, err := lab.List()
		if err != nil {
			return err
		}
		if len(list) == 0 {
			head("resident models", "none; lab.Model(NAME) in a cell or %ft keep NAME loads one")
		} else {
			head("resident models", fmt.Sprint(len(list)))
			fmt.Fprintln(&text, list)
			page.WriteString(list.HTML())
		}
	}
	dir := filepath.Join(c.Dir, "runs")
	runs, err := ckpt.Runs(dir)
	if err != nil && len(runs) == 0 {
		return err
	}
	if len(runs) == 0 {
		head("runs", "none in "+dir)
	} else {
		head("runs", dir)
		list := [][]string{{"run", "status", "step", "train loss", "best eval", "model"}}
		for _, in := range runs {
			list = append(list, []string{in.Name, in.Status, fmt.Sprintf("%d/%d", in.Step, in.Steps), number(in.TrainLoss), number(in.BestLoss), filepath.Base(in.Run.Model.Path)})
		}
		if err := rows(list); err != nil {
			return err
		}
	}
	c.Show(text.String(), page.String())
	return ctx.Err()
}

// showDataPage draws what ft data show prints.
func showDataPage(ctx context.Context, c jupyter.Call, file string) error {
	path := inFolder(c.Dir, file)
	var asText, asJSON, complaint bytes.Buffer
	if code := run(ctx, []string{"data", "show", path}, &asText, &complaint); code != exitOK {
		first, _, _ := strings.Cut(complaint.String(), "\n")
		return errors.New(strings.TrimPrefix(first, "ft: "))
	}
	var got struct {
		Mapping struct {
			Kind, Form string
			Columns    map[string]string
			Rows, Fits int
		}
		Samples []sample
	}
	if code := run(ctx, []string{"data", "show", "--json", path}, &asJSON, &complaint); code != exitOK {
		return errors.New(strings.TrimSpace(complaint.String()))
	}
	if err := json.Unmarshal(asJSON.Bytes(), &got); err != nil {
		return err
	}
	fields := []string{"row"}
	for _, s := range got.Samples {
		for name := range s.Record {
			if !slices.Contains(fields, name) {
				fields = append(fields, name)
			}
		}
	}
	slices.Sort(fields[1:])
	rows := [][]string{fields}
	for _, s := range got.Samples {
		row := []string{fmt.Sprint(s.Row)}
		for _, f := range fields[1:] {
			row = append(row, sampleText(s.Record[f]))
		}
		if s.Error != "" {
			row = []string{fmt.Sprint(s.Row), s.Error}
		}
		rows = append(rows, row)
	}
	m := got.Mapping
	page := fmt.Sprintf("<p><b>%s</b>: %s (%s), %s of %s rows fit</p>", html.EscapeString(file), html.EscapeString(m.Kind), html.EscapeString(m.Form), count(m.Fits), count(m.Rows)) + htmlTable(rows)
	c.Show(asText.String(), page)
	return nil
}

// sampleText is a value of a record: text as it is, turns of a conversation one a line.
func sampleText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		var lines []string
		for _, e := range v {
			if turn, ok := e.(map[string]any); ok && turn["role"] != nil {
				lines = append(lines, fmt.Sprintf("%v: %v", turn["role"], turn["content"]))
			} else {
				lines = append(lines, sampleText(e))
			}
		}
		return strings.Join(lines, "\n")
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// shortBackend leaves the plugin's path out.
func shortBackend(s string) string {
	kind, rest, _ := strings.Cut(s, ":")
	path, about, ok := strings.Cut(rest, " - ")
	if !ok || !filepath.IsAbs(path) {
		return s
	}
	_, rest, _ = strings.Cut(about, path+")")
	return kind + ":" + filepath.Base(path) + rest
}
