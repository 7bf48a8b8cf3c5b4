package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ftlab/ftlib/token"
)

func init() { commands = append(commands, tokenizeCmd) }

func tokenizeCmd() *cobra.Command {
	var dir, in, out string
	var special, decode, skip bool
	cmd := &cobra.Command{
		Use:   "tokenize --tokenizer DIR [TEXT]",
		Short: "Turn text into token ids, and back",
		Long: `DIR is a directory with tokenizer.json or tokenizer.model, or one of these files.

  ft tokenize --tokenizer DIR "Hello world"       a table of tokens
  ft tokenize --tokenizer DIR --in strings.jsonl --out ids.jsonl
  ft tokenize --tokenizer DIR --decode --in ids.jsonl --out strings.jsonl
  ft tokenize --tokenizer DIR                     what the tokenizer is

A file of strings holds a JSON string a line, a file of ids a JSON array of numbers a
line; "-" is standard input or output. A mistake names its line.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0 && (in != "" || out != ""):
				return usageErrorf("TEXT and --in or --out do not go together")
			case len(args) > 0 && decode:
				return usageErrorf("--decode reads --in, not TEXT")
			case in == "" && (out != "" || decode):
				return usageErrorf("--in is missing: a file, or - for standard input")
			case skip && !decode:
				return usageErrorf("--skip-special goes with --decode; when encoding, special tokens are added with --special")
			case special && decode:
				return usageErrorf("--special goes with encoding; when decoding, special tokens are left out with --skip-special")
			}
			tok, err := token.Load(dir)
			if err != nil {
				return withCode(exitUsage, err)
			}
			switch {
			case len(args) > 0:
				return showTokenTable(cmd, tok, args[0], special)
			case in == "":
				return showTokenizer(cmd, tok)
			}
			convert := encodeLine(tok, special)
			if decode {
				convert = decodeLine(tok, skip)
			}
			return convertLines(cmd, in, out, convert)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "tokenizer", "", "directory of a tokenizer or model, or its file")
	f.StringVar(&in, "in", "", "read this file, a JSON value a line; -: standard input")
	f.StringVar(&out, "out", "", "write this file; zero or -: standard output")
	f.BoolVar(&special, "special", false, "add the special tokens that the model expects, such as BOS")
	f.BoolVar(&decode, "decode", false, "the other way round: ids to text")
	f.BoolVar(&skip, "skip-special", false, "with --decode: leave special tokens out")
	if err := cmd.MarkFlagRequired("tokenizer"); err != nil {
		panic(err)
	}
	return cmd
}

// encodeLine turns a line with a JSON string into a line with an array of ids.
func encodeLine(tok *token.Tokenizer, special bool) func(out, line []byte) ([]byte, error) {
	return func(out, line []byte) ([]byte, error) {
		var s *string
		if err := json.Unmarshal(line, &s); err != nil || s == nil {
			return nil, fmt.Errorf("a JSON string is expected, not %s", excerpt(line))
		}
		out = append(out, '[')
		for i, id := range tok.Encode(*s, special) {
			if i > 0 {
				out = append(out, ", "...)
			}
			out = strconv.AppendInt(out, int64(id), 10)
		}
		return append(out, ']'), nil
	}
}

// decodeLine turns a line with an array of ids into a line with a JSON string.
func decodeLine(tok *token.Tokenizer, skip bool) func(out, line []byte) ([]byte, error) {
	return func(out, line []byte) ([]byte, error) {
		var ids []int32
		if err := json.Unmarshal(line, &ids); err != nil || ids == nil {
			return nil, fmt.Errorf("a JSON array of token ids is expected, not %s", excerpt(line))
		}
		if i := slices.IndexFunc(ids, func(id int32) bool { return id < 0 }); i >= 0 {
			return nil, fmt.Errorf("token id %d is negative", ids[i])
		}
		buf := bytes.NewBuffer(out)
		enc := json.NewEncoder(buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(tok.Decode(ids, skip)); err != nil {
			return nil, err
		}
		return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
	}
}

// excerpt is the beginning of a line for a message.
func excerpt(line []byte) string {
	if len(bytes.TrimSpace(line)) == 0 {
		return "an empty line"
	}
	if len(line) > 60 {
		line = append(line[:60:60], "..."...)
	}
	return strings.ToValidUTF8(string(line), "\uFFFD")
}

// convertLines turns the file in into the file out, line by line. Out appears only
// when all of it is written.
func convertLines(cmd *cobra.Command, in, out string, convert func(out, line []byte) ([]byte, error)) (err error) {
	from, name, closeIn, err := openIn(cmd, in)
	if err != nil {
		return err
	}
	defer closeIn()
	to, finish, err := openOut(cmd, out)
	if err != nil {
		return err
	}
	defer func() { err = finish(err) }()
	r, w := lineReader(from), bufio.NewWriterSize(to, 1<<16)
	var buf []byte
	for n := 1; ; n++ {
		line, readErr := r.ReadBytes('\n')
		if readErr != nil && readErr != io.EOF {
			return fmt.Errorf("%s line %d: %w", name, n, readErr)
		}
		if readErr == io.EOF && len(line) == 0 {
			return w.Flush()
		}
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		if !utf8.Valid(line) {
			return usageErrorf("%s line %d: not UTF-8", name, n)
		}
		if buf, err = convert(buf[:0], bytes.TrimRight(line, "\r\n")); err != nil {
			return usageErrorf("%s line %d: %w", name, n, err)
		}
		if _, err := w.Write(append(buf, '\n')); err != nil {
			return err
		}
	}
}

// lineReader reads a text that may begin with a byte order mark.
func lineReader(from io.Reader) *bufio.Reader {
	r := bufio.NewReaderSize(from, 1<<16)
	if mark, _ := r.Peek(3); string(mark) == "\ufeff" {
		r.Discard(3)
	}
	return r
}

// shownToken is a token of a text, for the table and as JSON.
type shownToken struct {
	ID      int32   `json:"id"`
	Token   string  `json:"token"`
	Bytes   *[2]int `json:"bytes"` // of the text, half open; null for a token added around it
	Text    string  `json:"text"`
	Special bool    `json:"special"`
}

// showTokenTable prints the tokens of a text.
func showTokenTable(cmd *cobra.Command, tok *token.Tokenizer, text string, special bool) error {
	ids, spans := tok.EncodeOffsets(text, special)
	rows := make([]shownToken, len(ids))
	for i, id := range ids {
		name, _ := tok.Token(id)
		rows[i] = shownToken{ID: id, Token: name, Special: tok.IsSpecial(id)}
		if spans[i][0] >= 0 {
			rows[i].Bytes = &spans[i]
			rows[i].Text = text[spans[i][0]:spans[i][1]]
		}
	}
	if wantJSON(cmd) {
		return printJSON(cmd, rows)
	}
	p := newPage(cmd)
	table := [][]string{{"", "id", "token", "bytes", "text"}}
	for i, r := range rows {
		at, what := "", strconv.Quote(r.Text)
		if r.Bytes != nil {
			at = fmt.Sprintf("%d:%d", r.Bytes[0], r.Bytes[1])
		} else {
			what = "added"
		}
		if r.Special {
			what += " special"
		}
		table = append(table, []string{strconv.Itoa(i), strconv.Itoa(int(r.ID)), r.Token, at, what})
	}
	p.table(table)
	runes := utf8.RuneCountInString(text)
	p.line("")
	if len(ids) == 0 {
		p.line("  no tokens")
		return nil
	}
	p.line("  %s tokens, %s characters, %.1f characters a token", count(len(ids)), count(runes), float64(runes)/float64(len(ids)))
	if back := tok.Decode(tok.Encode(text, false), false); back != text {
		p.line("  decodes to %q", back)
	}
	return nil
}

// showTokenizer prints what the tokenizer is.
func showTokenizer(cmd *cobra.Command, tok *token.Tokenizer) error {
	sp, config := tok.Special(), tok.Config()
	if wantJSON(cmd) {
		return printJSON(cmd, map[string]any{"size": tok.Size(), "bos": sp.BOS, "eos": sp.EOS, "pad": sp.PAD, "unk": sp.UNK,
			"adds_bos": tok.AddsBOS(), "adds_eos": tok.AddsEOS(), "eos_ids": config.EOS, "model_max_length": config.ModelMaxLength,
			"chat_template": config.ChatTemplate != "", "notes": config.Notes, "hash": tok.Hash()})
	}
	name := func(id int32, added bool) string {
		s, ok := tok.Token(id)
		switch {
		case !ok:
			return "none"
		case added:
			return fmt.Sprintf("%s (%d), added with --special", s, id)
		}
		return fmt.Sprintf("%s (%d)", s, id)
	}
	yes := map[bool]string{true: "yes", false: "no"}
	rows := [][2]string{{"tokens", count(tok.Size())}, {"begin", name(sp.BOS, tok.AddsBOS())}, {"end", name(sp.EOS, tok.AddsEOS())},
		{"padding", name(sp.PAD, false)}, {"unknown", name(sp.UNK, false)}, {"chat template", yes[config.ChatTemplate != ""]},
		{"hash", tok.Hash()[:16]}}
	if config.ModelMaxLength > 0 {
		rows = append(rows, [2]string{"longest text", count(config.ModelMaxLength) + " tokens"})
	}
	for _, note := range config.Notes {
		rows = append(rows, [2]string{"note", note})
	}
	newPage(cmd).pairs(rows)
	return nil
}
