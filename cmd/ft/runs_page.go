package main

import (
	"fmt"
	"html"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ftlab/ftlib/chart"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/tensorboard"
)

// comparePage writes what ft runs compare shows as a page: what differs, what came of it,
// the losses over each other, and every other metric that two runs or more have.
func comparePage(path string, c ckpt.Comparison, infos []ckpt.Info) error {
	var curves []chart.Curve
	for i, in := range infos {
		curves = append(curves, chart.Curve{Name: c.Runs[i], Events: in.Events})
	}
	figures := []chart.Figure{chart.Loss(curves...)}
	for _, name := range c.ResultNames() {
		if f := chart.Metric(name, curves...); len(f.Series) > 1 {
			figures = append(figures, f)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<h1>%s</h1>\n<table style=\"border-collapse:collapse\">\n", html.EscapeString(strings.Join(c.Runs, ", ")))
	for i, row := range compareRows(c) {
		cell := "td"
		if i == 0 {
			cell = "th"
		}
		fmt.Fprintf(&b, "<tr><th style=\"text-align:left;padding:.2em 1em .2em 0\">%s</th>", html.EscapeString(row[0]))
		for _, v := range row[1:] {
			fmt.Fprintf(&b, "<%s style=\"text-align:right;padding:.2em 0 .2em 1.5em\">%s</%[1]s>", cell, html.EscapeString(v))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</table>\n")
	page, err := chart.PageWith("Comparison of "+fmt.Sprint(len(infos))+" runs", b.String(), figures...)
	if err != nil {
		return err
	}
	return chart.Save(path, page)
}

// compareRows is the table of a comparison: names, settings that differ, results.
func compareRows(c ckpt.Comparison) [][]string {
	rows := [][]string{append([]string{""}, c.Runs...)}
	for _, key := range c.SettingKeys() {
		rows = append(rows, append([]string{key}, dashes(c.Settings[key])...))
	}
	for _, name := range c.ResultNames() {
		row := []string{name}
		for _, v := range c.Results[name] {
			row = append(row, number(v))
		}
		rows = append(rows, row)
	}
	return rows
}

func runsTensorBoardCmd() *cobra.Command {
	var logdir string
	cmd := &cobra.Command{
		Use: "tensorboard RUN...", Short: "Write event files of runs, for TensorBoard", Args: cobra.MinimumNArgs(1),
		Long: `tensorboard writes the metrics of each run below LOGDIR/NAME, as TensorBoard reads them:

  ft runs tensorboard sft-a sft-b --logdir tb && tensorboard --logdir tb

A run with report_to: [tensorboard] writes them itself while it trains.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				in, err := readRun(cmd, arg)
				if err != nil {
					return err
				}
				to := filepath.Join(logdir, in.Name)
				if err := tensorboard.Write(to, in.Events); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), to)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&logdir, "logdir", "tensorboard", "directory of the event files")
	return cmd
}
