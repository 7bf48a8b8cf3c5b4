//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ftlab/ftlib/plan"
	"ftlab/kernel/jupyter"
	"ftlab/kernel/notebook"
)

// notInCells are the commands that want a terminal or are no use in a cell.
var notInCells = map[string]string{
	"chat": "it talks in a terminal; notebook.Generate does in a cell", "kernel": "this is the kernel", "lab": "JupyterLab is open",
	"repl": "this is one", "completion": "it is for the shell",
}

// labMagics are %ft and %%ft: the command line in a cell, and what only a cell has.
func labMagics(self string) []jupyter.Magic {
	run := quoteShell(self)
	return []jupyter.Magic{
		{
			Name: "%ft", Use: "[status | keep NAME | drop NAME | data FILE | COMMAND ...]", Help: "the laboratory: what is resident and which runs there are; or any command of ft",
			Doc: ftMagicDoc,
			Run: func(ctx context.Context, c jupyter.Call) (string, error) {
				verb, rest, _ := strings.Cut(c.Line, " ")
				rest = strings.TrimSpace(rest)
				switch verb {
				case "", "status":
					return "", showStatus(ctx, c)
				case "help":
					c.Show(ftMagicDoc+"\n", "")
					return "", nil
				case "keep", "drop":
					if rest == "" || strings.ContainsAny(rest, " \t") {
						return "", fmt.Errorf("%%ft %s NAME: the name of one model is wanted; %%ft lists those that are resident", verb)
					}
					if verb == "keep" {
						return "", keepResident(c, rest)
					}
					return "", dropResident(c, rest)
				case "plan":
					if shown, err := showPlan(ctx, c, rest); shown || err != nil {
						return "", err
					}
				case "data":
					if file := rest; file != "" && !strings.ContainsAny(file, " \t") {
						if _, err := os.Stat(inFolder(c.Dir, file)); err == nil {
							return "", showDataPage(ctx, c, file)
						}
					}
				}
				if why, no := notInCells[verb]; no {
					return "", fmt.Errorf("ft %s is not for cells: %s", verb, why)
				}
				return run + " " + c.Line, nil
			},
			Complete: completeFt,
		},
		{
			Name: "%%ft", Use: "train [--set KEY=VALUE]", Help: "train as the YAML in the cell says",
			Doc: "The lines below are a specification as of `ft train RUN.yaml`:\n\n```yaml\n%%ft train\nmodel: {path: models/ft-tiny}\ndata: {train: datasets/reviews/train.parquet}\nlora: {r: 8}\n```\n\n`%ft train --keys` lists the keys.",
			Run: func(_ context.Context, c jupyter.Call) (string, error) {
				verb, rest, _ := strings.Cut(c.Line, " ")
				if verb != "train" {
					return "", fmt.Errorf("%%%%ft %s: only train takes the cell as its file; other commands are a line that begins with %%ft", verb)
				}
				if strings.TrimSpace(c.Body) == "" {
					return "", errors.New("%%ft train: the lines below are the specification, in YAML; there are none. %ft train --keys lists the keys")
				}
				path := filepath.Join(c.Temp, "cell.yaml")
				if err := os.WriteFile(path, []byte(c.Body+"\n"), 0o600); err != nil {
					return "", err
				}
				return run + " train " + quoteShell(path) + " " + rest, nil
			},
			Complete: func(line, dir string) []string {
				if !strings.Contains(line, " ") {
					return []string{"train"}
				}
				return completeFt(line, dir)
			},
		},
	}
}

// showPlan draws what ft plan says; false for what is no plan of a run and goes to the shell.
func showPlan(ctx context.Context, c jupyter.Call, line string) (bool, error) {
	words := strings.Fields(line)
	if len(words) == 0 || slices.ContainsFunc(words, func(w string) bool {
		return slices.Contains([]string{"guide", "budget", "devices", "choose", "--calibrate", "--json", "--help", "-h"}, w) || strings.ContainsAny(w, `'"$;|&`)
	}) {
		return false, nil
	}
	if !strings.HasPrefix(words[0], "-") {
		words[0] = inFolder(c.Dir, words[0])
	}
	var said, failed bytes.Buffer
	if code := run(ctx, slices.Concat([]string{"plan", "--json"}, words), &said, &failed); code != exitOK {
		return true, errors.New(strings.TrimPrefix(strings.TrimSpace(failed.String()), "ft: "))
	}
	var r plan.Report
	if err := json.Unmarshal(said.Bytes(), &r); err != nil {
		return true, err
	}
	page, err := notebook.PlanPage(r)
	if err == nil {
		c.Show(r.Text(), page)
	}
	return true, err
}

const ftMagicDoc = `%ft                  what is resident in the device server, and the runs
%ft keep NAME        make a model resident: a name of models/, or its folder
%ft drop NAME        free what is resident under a name; files are untouched
%ft data FILE        what the rows of a data file are, and some of them
%ft plan RUN.yaml    what a run needs: memory, time, and settings that fit
%ft COMMAND ...      any command of ft, in the folder of the notebook: %ft runs list
%%ft train           train as the YAML in the cell says`

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func inFolder(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// completeFt completes a command line of ft, and files where a command takes one.
func completeFt(line, dir string) []string {
	words := strings.Split(line, " ")
	last := words[len(words)-1]
	words = slices.DeleteFunc(words[:len(words)-1], func(w string) bool { return w == "" })
	var out []string
	if len(words) == 0 {
		out = append(out, "status", "keep", "drop", "help")
	}
	if len(words) == 1 && words[0] == "drop" {
		return residentNames()
	}
	if len(words) == 1 && words[0] == "keep" {
		out = append(out, modelNames()...)
	}
	var said bytes.Buffer
	run(context.Background(), slices.Concat([]string{"__complete"}, words, []string{last}), &said, io.Discard)
	for proposal := range strings.Lines(said.String()) {
		if strings.HasPrefix(proposal, ":") {
			break
		}
		word, _, _ := strings.Cut(strings.TrimSpace(proposal), "\t")
		if _, no := notInCells[word]; word != "" && (!no || len(words) > 0) {
			out = append(out, word)
		}
	}
	if len(words) > 0 && !strings.HasPrefix(last, "-") {
		from := last
		if !filepath.IsAbs(from) {
			from = dir + string(filepath.Separator) + last
		}
		files, _ := filepath.Glob(from + "*")
		for _, f := range files {
			shown := f
			if rel, err := filepath.Rel(dir, f); err == nil && !filepath.IsAbs(last) {
				shown = rel
			}
			if info, err := os.Stat(f); err == nil && info.IsDir() {
				shown += "/"
			}
			out = append(out, shown)
		}
	}
	return out
}

// htmlTable draws rows, the first being the head; numbers go to the right.
func htmlTable(rows [][]string) string {
	var out strings.Builder
	out.WriteString("<table>")
	for i, row := range rows {
		tag := map[bool]string{true: "th", false: "td"}[i == 0]
		out.WriteString("<tr>")
		for _, text := range row {
			fmt.Fprintf(&out, `<%s style="text-align:left;white-space:pre-wrap;vertical-align:top">%s</%s>`, tag, html.EscapeString(text), tag)
		}
		out.WriteString("</tr>")
	}
	return out.String() + "</table>"
}
