package corpus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var hubName = regexp.MustCompile(`^([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::([\w.-]+))?(?:@([\w./-]+))?$`)

// isHubName says whether path has the form of a data set name: "owner/name",
// with ":config" and "@revision" where needed. A path with the ending of a data
// file is a file that does not exist.
func isHubName(path string) bool {
	if _, isFile := formatOf(path); isFile {
		return false
	}
	return hubName.MatchString(path)
}

// hubCache is the folder of the hub's cache, found as its Python client does.
func hubCache() string {
	for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if dir := os.Getenv(name); dir != "" {
			return dir
		}
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub")
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface", "hub")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(".cache", "huggingface", "hub")
	}
	return filepath.Join(home, ".cache", "huggingface", "hub")
}

func offline(opts OpenOptions) bool {
	if opts.Offline {
		return true
	}
	for _, name := range []string{"HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"} {
		switch strings.ToLower(os.Getenv(name)) {
		case "1", "true", "yes", "on":
			return true
		}
	}
	return false
}

// hubFiles finds the files of a data set in the cache, or downloads them.
func hubFiles(path string, opts OpenOptions) ([]File, error) {
	m := hubName.FindStringSubmatch(path)
	name, config, revision := m[1], m[2], m[3]
	if revision == "" {
		revision = "main"
	}
	cache := hubCache()
	repo := filepath.Join(cache, "datasets--"+strings.ReplaceAll(name, "/", "--"))
	files, found := cachedFiles(repo, revision)
	if !found {
		how := fmt.Sprintf("download it where there is a network with `hf download --repo-type dataset %s` and copy %s here, or set HF_HUB_CACHE to where it is", name, filepath.Base(repo))
		if offline(opts) {
			return nil, fileError(path, "no such file, and no data set of this name in "+cache+" (working offline)", nil, how)
		}
		if err := download(name, revision, cache); err != nil {
			return nil, fileError(path, "no such file; as a data set it is not in "+cache+" and cannot be downloaded", cause(err), how)
		}
		if files, found = cachedFiles(repo, revision); !found {
			return nil, fileError(path, "the data set holds no file that can be read here", nil, "known endings: .parquet .jsonl .json .csv .tsv .txt")
		}
	}
	return chooseConfig(path, files, config)
}

// chooseConfig keeps the files of one configuration: the folders of a data set.
// Without a name, all files must lie in one folder (or in data/ and the top).
func chooseConfig(path string, files []hubFile, config string) ([]File, error) {
	byConfig := map[string][]File{}
	for _, f := range files {
		dir, _, nested := strings.Cut(filepath.ToSlash(f.rel), "/")
		if !nested || dir == "data" || splitOf(dir) != "" {
			dir = "default"
		}
		byConfig[dir] = append(byConfig[dir], f.File)
	}
	var names []string
	for k := range byConfig {
		names = append(names, k)
	}
	slices.Sort(names)
	switch {
	case config == "" && len(names) == 1:
		config = names[0]
	case config == "" && byConfig["default"] != nil:
		config = "default"
	case byConfig[config] == nil:
		return nil, fileError(path, "which configuration of the data set?", nil, "one of: "+strings.Join(names, ", ")+"; write NAME:CONFIG")
	}
	return byConfig[config], nil
}

type hubFile struct {
	File
	rel string // inside the snapshot
}

// cachedFiles lists the data files of the snapshot that a revision means.
func cachedFiles(repo, revision string) ([]hubFile, bool) {
	snapshot := revision
	if ref, err := os.ReadFile(filepath.Join(repo, "refs", filepath.FromSlash(revision))); err == nil {
		snapshot = strings.TrimSpace(string(ref))
	}
	dir := filepath.Join(repo, "snapshots", snapshot)
	if _, err := os.Stat(dir); err != nil {
		entries, err := os.ReadDir(filepath.Join(repo, "snapshots"))
		if err != nil || revision != "main" || len(entries) != 1 {
			return nil, false
		}
		dir = filepath.Join(repo, "snapshots", entries[0].Name()) // no ref, but no choice either
	}
	listed, err := listDir(dir)
	if err != nil {
		return nil, false
	}
	var files []hubFile
	parquet := false
	for _, f := range listed {
		rel, err := filepath.Rel(dir, f.Path)
		if err != nil {
			continue
		}
		parquet = parquet || f.Format == "parquet"
		files = append(files, hubFile{f, rel})
	}
	if parquet { // the same rows may lie beside it in other formats
		files = slices.DeleteFunc(files, func(f hubFile) bool { return f.Format != "parquet" })
	}
	return files, len(files) > 0
}

// cause is the innermost message of a wrapped error, on one line.
func cause(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return errors.New(oneLine(err))
}
