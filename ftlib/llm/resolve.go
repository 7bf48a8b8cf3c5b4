package llm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"ftlab/ftlib/corpus"
)

var hubModel = regexp.MustCompile(`^([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?$`)

// Resolve finds a model: a directory or file as it is; else, for a name as "owner/name"
// or "owner/name@revision", its snapshot in the hub's cache, downloaded when it is not
// there and there is a network. HF_HUB_OFFLINE=1 keeps it from trying.
func Resolve(path string) (string, error) {
	_, err := os.Stat(path)
	if err == nil {
		return path, nil
	}
	name := hubModel.FindStringSubmatch(path)
	if !errors.Is(err, fs.ErrNotExist) || name == nil || strings.HasSuffix(path, ".bin") {
		return "", fmt.Errorf("llm: %w; give a directory with config.json and safetensors, a llama2.c .bin file, or a name as owner/name", err)
	}
	revision := name[2]
	if revision == "" {
		revision = "main"
	}
	cache := corpus.HubCache()
	repo := filepath.Join(cache, "models--"+strings.ReplaceAll(name[1], "/", "--"))
	if dir, ok := snapshot(repo, revision); ok {
		return dir, nil
	}
	how := fmt.Sprintf("download it where there is a network with `hf download %s` and copy %s here, or set HF_HUB_CACHE to where it is", name[1], filepath.Base(repo))
	missing := fmt.Sprintf("llm: there is no directory %s, and no model of this name in %s", path, cache)
	if corpus.HubOffline() {
		return "", fmt.Errorf("%s (HF_HUB_OFFLINE is set: no download is tried); %s: %w", missing, how, fs.ErrNotExist)
	}
	if err := downloadModel(name[1], revision, cache); err != nil {
		for inner := err; inner != nil; inner = errors.Unwrap(inner) {
			err = inner // the cause says most
		}
		text, _, _ := strings.Cut(err.Error(), "\n")
		return "", fmt.Errorf("%s, and it cannot be downloaded (%s); %s: %w", missing, text, how, fs.ErrNotExist)
	}
	dir, ok := snapshot(repo, revision)
	if !ok {
		return "", fmt.Errorf("llm: %s holds no model with config.json and safetensors; other formats are not read", name[1])
	}
	return dir, nil
}

// snapshot is the folder of a revision in the cache, if a whole model is there.
func snapshot(repo, revision string) (string, bool) {
	commit := revision
	if ref, err := os.ReadFile(filepath.Join(repo, "refs", filepath.FromSlash(revision))); err == nil {
		commit = strings.TrimSpace(string(ref))
	}
	dir := filepath.Join(repo, "snapshots", commit)
	if _, err := os.Stat(dir); err != nil {
		entries, err := os.ReadDir(filepath.Join(repo, "snapshots"))
		if err != nil || revision != "main" || len(entries) != 1 {
			return "", false
		}
		dir = filepath.Join(repo, "snapshots", entries[0].Name()) // no ref, but no choice either
	}
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		return "", false
	}
	weights, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	return dir, err == nil && len(weights) > 0
}
