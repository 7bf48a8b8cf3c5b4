package corpus

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// File is one data file of a source.
type File struct {
	Path   string `json:"path"`
	Format string `json:"format"`          // "parquet", "jsonl", "json", "csv", "tsv", "txt"
	Split  string `json:"split,omitempty"` // "train", "validation", "test" when the name says so
	Bytes  int64  `json:"bytes"`
}

// Source is what a path turned out to be.
type Source struct {
	Path  string `json:"path"`           // as given
	Files []File `json:"files"`          // to be read, in this order
	Left  []File `json:"left,omitempty"` // data files of other splits, not read
	Split string `json:"split,omitempty"`
}

// Other is the same source with the files of another split; ok is false when
// there are none.
func (s Source) Other(split string) (Source, bool) {
	all := append(slices.Clone(s.Files), s.Left...)
	out := Source{Path: s.Path, Split: split}
	for _, f := range all {
		if f.Split == split {
			out.Files = append(out.Files, f)
		} else {
			out.Left = append(out.Left, f)
		}
	}
	return out, len(out.Files) > 0
}

// Resolve finds the data files that path means:
//
//   - a file: that file, by its ending (.parquet .jsonl .json .csv .tsv .txt, each
//     but parquet also .gz or .zst);
//   - a directory: all data files in and below it, sorted; hidden files, licences
//     and READMEs are passed over; files of several formats are an error;
//   - a glob with *, ? or [...]: the files that match, sorted;
//   - "owner/name", "owner/name:config" or "owner/name@revision": the data set in
//     the hub's cache on this disk, downloaded when it is not there.
//
// Where file names tell splits apart (train-00000-of-00004.parquet, test.jsonl)
// only those of opts.Split are read and the others are listed in Left.
func Resolve(path string, opts OpenOptions) (Source, error) {
	src := Source{Path: path, Split: opts.Split}
	files, err := resolveFiles(path, opts)
	if err != nil {
		return src, err
	}
	if len(files) == 1 {
		src.Files = files
		return src, nil
	}
	return src.choose(files, opts.Split)
}

func resolveFiles(path string, opts OpenOptions) ([]File, error) {
	if path == "" {
		return nil, fileError("(no path)", "a data file, directory, glob or data set name is needed", nil, "")
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return listDir(path)
	case err == nil:
		f, err := oneFile(path, info)
		if err != nil {
			return nil, err
		}
		return []File{f}, nil
	case strings.ContainsAny(path, "*?["):
		return listGlob(path)
	case isHubName(path):
		return hubFiles(path, opts)
	}
	return nil, fileError(path, "no such file or directory", nil, missingHint(path))
}

func oneFile(path string, info fs.FileInfo) (File, error) {
	format, ok := formatOf(path)
	if !ok {
		if format = sniffFormat(path); format == "" {
			return File{}, fileError(path, "not a data file by its name", nil, "known endings: .parquet .jsonl .json .csv .tsv .txt, also .gz and .zst")
		}
	}
	return File{Path: path, Format: format, Split: splitOf(filepath.Base(path)), Bytes: info.Size()}, nil
}

func listDir(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if p != dir && strings.HasPrefix(name, ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || notData(name) {
			return nil
		}
		format, ok := formatOf(p)
		if !ok {
			return nil
		}
		info, err := os.Stat(p) // follows the links of the hub's cache
		if err != nil || info.IsDir() {
			return err
		}
		split := splitOf(name)
		if split == "" {
			if rel, err := filepath.Rel(dir, filepath.Dir(p)); err == nil && rel != "." {
				split = splitOf(filepath.Base(rel))
			}
		}
		files = append(files, File{Path: p, Format: format, Split: split, Bytes: info.Size()})
		return nil
	})
	if err != nil {
		return nil, fileError(dir, "cannot be listed", err, "")
	}
	if len(files) == 0 {
		return nil, fileError(dir, "no data files in this directory", nil, "known endings: .parquet .jsonl .json .csv .tsv .txt, also .gz and .zst")
	}
	return files, nil
}

func listGlob(pattern string) ([]File, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fileError(pattern, "not a glob", err, "")
	}
	var files []File
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || info.IsDir() {
			continue
		}
		f, err := oneFile(p, info)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fileError(pattern, "no file matches", nil, "")
	}
	return files, nil
}

// choose keeps the files of one split and refuses a mixture of formats.
func (s Source) choose(files []File, split string) (Source, error) {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	has := map[string]bool{}
	for _, f := range files {
		has[f.Split] = true
	}
	want := split
	if want == "" && has["train"] {
		want = "train"
	}
	for _, f := range files {
		switch {
		case want == "" || want == "all" || f.Split == want:
			s.Files = append(s.Files, f)
		default:
			s.Left = append(s.Left, f)
		}
	}
	s.Split = want
	if len(s.Files) == 0 {
		var names []string
		for k := range has {
			if k != "" {
				names = append(names, k)
			}
		}
		slices.Sort(names)
		return s, fileError(s.Path, fmt.Sprintf("no file of split %q", split), nil, "splits found by name: "+orNone(names))
	}
	formats := map[string]string{}
	for _, f := range s.Files {
		if formats[f.Format] == "" {
			formats[f.Format] = f.Path
		}
	}
	if len(formats) > 1 {
		var names []string
		for k, p := range formats {
			names = append(names, k+" ("+filepath.Base(p)+")")
		}
		slices.Sort(names)
		return s, fileError(s.Path, "files of several formats: "+strings.Join(names, ", "), nil,
			"name one kind with a glob, as "+filepath.Join(s.Path, "*."+s.Files[0].Format))
	}
	return s, nil
}

var splitPattern = regexp.MustCompile(`(?i)(^|[^a-z])(train|training|valid|validation|val|dev|eval|test|testing)([^a-z]|$)`)

// splitOf reads the split from a file or directory name.
func splitOf(name string) string {
	m := splitPattern.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	switch strings.ToLower(m[2]) {
	case "train", "training":
		return "train"
	case "test", "testing":
		return "test"
	}
	return "validation"
}

var notDataPattern = regexp.MustCompile(`(?i)^(readme|licen[cs]e|copying|notice|dataset_infos?|dataset_dict|state|requirements|config|tokenizer(_config)?|special_tokens_map|vocab|merges)\b`)

// notData passes over what lies beside data but is none.
func notData(name string) bool { return notDataPattern.MatchString(name) }

// missingHint names files that look like the one that is missing.
func missingHint(path string) string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return "its folder does not exist either"
	}
	var near []string
	stem := strings.ToLower(strings.SplitN(filepath.Base(path), ".", 2)[0])
	for _, e := range entries {
		if strings.HasPrefix(strings.ToLower(e.Name()), stem) {
			near = append(near, e.Name())
		}
	}
	if len(near) == 0 {
		return ""
	}
	return "there is " + strings.Join(near[:min(3, len(near))], ", ")
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
