//go:build !ftlab_session

package corpus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gomlx/go-huggingface/hub"
)

// download fetches the data files of a data set into the cache.
func download(name, revision, cache string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Hour)
	defer cancel()
	repo := hub.New(name).WithType(hub.RepoTypeDataset).WithRevision(revision).WithCacheDir(cache)
	repo.Verbosity = 0
	if token := os.Getenv("HF_TOKEN"); token != "" {
		repo = repo.WithAuth(token)
	}
	var want, parquet []string
	for file, err := range repo.IterFileNames() {
		if err != nil {
			return err
		}
		format, ok := formatOf(file)
		if !ok || notData(filepath.Base(file)) {
			continue
		}
		want = append(want, file)
		if format == "parquet" {
			parquet = append(parquet, file)
		}
	}
	if len(parquet) > 0 {
		want = parquet
	}
	if len(want) == 0 {
		return fmt.Errorf("it holds no .parquet, .jsonl, .json, .csv, .tsv or .txt file")
	}
	_, err := repo.DownloadFilesCtx(ctx, want...)
	return err
}
