package main

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ftlab/ftlib/corpus"
)

func dataStatsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "stats FILE",
		Short: "Describe every column: types, nulls, lengths, distinct values",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := openData(cmd, args[0])
			if err != nil {
				return err
			}
			s := corpus.Describe(in.source.Rows(in.opts))
			if wantJSON(cmd) {
				return printJSON(cmd, map[string]any{"source": in.source, "stats": s})
			}
			showStats(newPage(cmd), in, s)
			if s.Rows == s.Broken {
				return withCode(exitRefused, fmt.Errorf("%s: no row can be read; see ft data check", args[0]))
			}
			return nil
		},
	}
}

func showStats(p *page, in *dataInput, s corpus.Stats) {
	p.line("%s  %s", p.paint(bold, in.source.Path), p.paint(dim, sourceLine(in.source)+", "+rowsText(s.Rows)))
	p.line("")
	info := [][2]string{{"text", fmt.Sprintf("%s, %s", sizeText(s.Bytes), s.Charset)}}
	if len(s.Scripts) > 0 {
		info = append(info, [2]string{"scripts", sharesText(s.Scripts)})
	}
	if len(s.Langs) > 0 {
		info = append(info, [2]string{"languages", sharesText(s.Langs) + " (a guess)"})
	}
	if s.Broken > 0 {
		info = append(info, [2]string{"broken", rowsText(s.Broken) + " could not be read; see ft data check"})
	}
	if left := leftLine(in.source); left != "" {
		info = append(info, [2]string{"other files", left})
	}
	p.pairs(info)
	p.line("")
	rows := [][]string{{"column", "type", "null", "empty", "distinct", "min", "mean", "max", "example"}}
	for _, c := range s.Columns {
		distinct := count(c.Distinct)
		if c.Distinct > 1000 {
			distinct = "1,000+"
		}
		if c.Distinct == 0 {
			distinct = ""
		}
		rows = append(rows, []string{c.Name, typesText(c.Types), zeroDash(c.Null), zeroDash(c.Empty), distinct,
			"", "", "", c.Example})
		if c.Types["text"]+c.Types["int"]+c.Types["float"]+c.Types["list"]+c.Types["bytes"] > 0 {
			copy(rows[len(rows)-1][5:], []string{figure(c.Min), figure(c.Mean), figure(c.Max)})
		}
	}
	p.list(rows)
	p.line("")
	p.line("  %s", p.paint(dim, "min, mean, max: characters of text, elements of a list, or the number itself"))
}

func sharesText(list []corpus.Share) string {
	var out []string
	for i, s := range list {
		if i == 8 {
			out = append(out, "...")
			break
		}
		out = append(out, fmt.Sprintf("%s %.3g %%", s.Name, 100*s.Share))
	}
	return strings.Join(out, ", ")
}

func typesText(types map[string]int) string {
	var names []string
	for k := range types {
		names = append(names, k)
	}
	sort.Slice(names, func(i, j int) bool {
		if types[names[i]] != types[names[j]] {
			return types[names[i]] > types[names[j]]
		}
		return names[i] < names[j]
	})
	if len(names) == 0 {
		return "null"
	}
	return strings.Join(names, "/")
}

func zeroDash(n int) string {
	if n == 0 {
		return "-"
	}
	return count(n)
}

func figure(x float64) string {
	switch {
	case x == math.Trunc(x) && math.Abs(x) < 1e9:
		return count(int(x))
	case math.Abs(x) >= 100:
		return count(int(math.Round(x)))
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}
