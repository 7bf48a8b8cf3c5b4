package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ftlab/ftlib/corpus"
)

func init() { commands = append(commands, dataCmd) }

// tokenView prints the tokens of the first rows with what is trained, for
// `ft data show --tokens`. It is set by the file that knows tokenizers and templates.
var tokenView func(cmd *cobra.Command, files []string) error

func dataCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Look at data, check it, convert it, split it",
		Long: `FILE is a data file (.parquet .jsonl .json .csv .tsv .txt, also .gz and .zst), a
directory, a glob in quotes, or a data set name "owner/name" (from the hub's cache
on this disk, downloaded if it is not there).

  ft data show FILE                       what the rows are, and some of them
  ft data show FILE --tokens --tokenizer DIR
  ft data check FILE --tokenizer DIR --max-length 1024
  ft data check train.parquet --validation test.parquet
  ft data convert FILE --out chat.parquet --to chat
  ft data split FILE --out DIR            train.parquet and validation.parquet
  ft data stats FILE                      every column: types, nulls, lengths
  ft data label-steps FILE --model DIR --out steps.parquet

Columns are found by their names and contents, over all rows. Where that goes wrong:
  ft data show FILE --format prompt-completion --columns prompt=question,completion=reply
  ft data show reviews.csv --columns label.0=negative,label.1=positive
"ft data formats" lists the formats and their fields.`,
	}
	f := cmd.PersistentFlags()
	f.String("format", "", "what the rows are; zero: recognised (see ft data formats)")
	f.StringToString("columns", nil, "field=column where recognition must be overridden")
	f.Int("limit", 0, "read the first rows only; zero: all")
	f.String("split", "", "train, validation, test or all, by file name; zero: train where names tell")
	f.Bool("offline", false, "never download a data set")
	cmd.AddCommand(dataShowCmd(), dataCheckCmd(), dataConvertCmd(), dataSplitCmd(), dataStatsCmd(), dataFormatsCmd(), dataRowsCmd(), labelStepsCmd())
	return cmd
}

// dataInput is a data set named on the command line, recognised.
type dataInput struct {
	source  corpus.Source
	opts    corpus.OpenOptions
	want    corpus.Want
	mapping corpus.Mapping
	err     error // of recognition: a report can still say what was seen
}

func openData(cmd *cobra.Command, path string) (*dataInput, error) {
	in := &dataInput{}
	f := cmd.Flags()
	in.opts.Limit, _ = f.GetInt("limit")
	in.opts.Split, _ = f.GetString("split")
	in.opts.Offline, _ = f.GetBool("offline")
	in.want.Format, _ = f.GetString("format")
	in.want.Columns, _ = f.GetStringToString("columns")
	if in.opts.Limit < 0 {
		return nil, usageErrorf("--limit %d: a number of rows is expected", in.opts.Limit)
	}
	if !slices.Contains([]string{"", "all", "train", "validation", "test"}, in.opts.Split) {
		return nil, usageErrorf("--split %q: train, validation, test or all is expected", in.opts.Split)
	}
	var err error
	if in.source, err = corpus.Resolve(path, in.opts); err != nil {
		return nil, withCode(exitUsage, err)
	}
	return in, nil
}

// recognise fills the mapping in. Data of no known format is refused (exit code 3).
func (in *dataInput) recognise() error {
	in.mapping, in.err = corpus.Recognise(in.source.Rows(in.opts), in.want)
	return withCode(exitRefused, in.err)
}

func dataFormatsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "formats",
		Short: "List the formats that are recognised",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wantJSON(cmd) {
				return printJSON(cmd, corpus.Forms())
			}
			p := newPage(cmd)
			rows := [][]string{{"format", "kind", "what it is; its fields (? may be missing)"}}
			for _, f := range corpus.Forms() {
				rows = append(rows, []string{f.Name, string(f.Kind), f.Doc + "; " + strings.Join(f.Fields, ", ")})
			}
			p.table(rows)
			p.line("")
			p.line("The first that fits (nearly) all rows is taken. --format takes a format or a kind,")
			p.line("--columns field=column says where a field is; a dot reaches into nested values.")
			return nil
		},
	}
}

// sourceLine is "train.parquet  parquet  2.2 MB", or the number of files.
func sourceLine(s corpus.Source) string {
	var bytes int64
	for _, f := range s.Files {
		bytes += f.Bytes
	}
	what := s.Files[0].Format
	if n := len(s.Files); n > 1 {
		what = fmt.Sprintf("%d %s files", n, what)
	} else if filepath.Clean(s.Path) != filepath.Clean(s.Files[0].Path) {
		what = filepath.Base(s.Files[0].Path)
	}
	return what + ", " + sizeText(bytes)
}

// leftLine names files of other splits.
func leftLine(s corpus.Source) string {
	if len(s.Left) == 0 {
		return ""
	}
	var names []string
	for _, f := range s.Left {
		names = append(names, filepath.Base(f.Path))
	}
	text := strings.Join(names[:min(3, len(names))], ", ")
	if len(names) > 3 {
		text += fmt.Sprintf(" and %d more", len(names)-3)
	}
	return text + " not read (another split; --split all reads everything)"
}
