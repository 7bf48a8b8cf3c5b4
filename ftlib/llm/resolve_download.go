//go:build !ftlab_session

package llm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomlx/go-huggingface/hub"
)

// downloadModel fetches what a model needs into the cache.
func downloadModel(name, revision, cache string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	repo := hub.New(name).WithRevision(revision).WithCacheDir(cache)
	if token := os.Getenv("HF_TOKEN"); token != "" {
		repo = repo.WithAuth(token)
	}
	var want []string
	for file, err := range repo.IterFileNames() {
		if err != nil {
			return err
		}
		if strings.Contains(file, "/") {
			continue // other formats
		}
		switch filepath.Ext(file) {
		case ".safetensors", ".json", ".model", ".jinja":
			want = append(want, file)
		case ".txt":
			if file == "merges.txt" {
				want = append(want, file)
			}
		}
	}
	if len(want) == 0 {
		return errors.New("it holds no safetensors")
	}
	_, err := repo.DownloadFilesCtx(ctx, want...)
	return err
}
