package corpus

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHubDownload gets a data set from a server of the hub's protocol, into the
// cache, and then reads it without the server.
func TestHubDownload(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	files := map[string]string{"README.md": "# data", "data/train.jsonl": `{"text":"hello"}`, "data/test.jsonl": `{"text":"bye"}`}
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.Method+" "+r.URL.Path]++
		w.Header().Set("X-Repo-Commit", commit)
		if strings.HasPrefix(r.URL.Path, "/api/datasets/owner/name") {
			fmt.Fprintf(w, `{"id":"owner/name","sha":%q,"siblings":[`, commit)
			sep := ""
			for name, data := range files {
				fmt.Fprintf(w, `%s{"rfilename":%q,"size":%d}`, sep, name, len(data))
				sep = ","
			}
			fmt.Fprint(w, `]}`)
			return
		}
		for name, data := range files {
			if strings.HasPrefix(r.URL.Path, "/datasets/owner/name/resolve/") && strings.HasSuffix(r.URL.Path, "/"+name) {
				w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", name)))
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				if r.Method != http.MethodHead {
					fmt.Fprint(w, data)
				}
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("HF_HUB_CACHE", t.TempDir())
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("HF_DATASETS_OFFLINE", "")
	src, err := Resolve("owner/name", OpenOptions{})
	if err != nil {
		t.Fatalf("%v (asked for %v)", err, asked)
	}
	if len(src.Files) != 1 || len(src.Left) != 1 || src.Split != "train" {
		t.Errorf("%+v", src)
	}
	server.Close()
	for split, want := range map[string]string{"": "hello", "test": "bye"} {
		rows, faults := readAll("owner/name", OpenOptions{Split: split})
		if faults != nil || len(rows) != 1 || rows[0]["text"] != want {
			t.Errorf("split %q from the cache: %v %v", split, rows, faults)
		}
	}
	if _, err := Resolve("owner/gone", OpenOptions{}); err == nil || !strings.Contains(err.Error(), "cannot be downloaded") {
		t.Errorf("a data set that is nowhere: %v", err)
	}
}
