package export

import (
	"os"
	"path/filepath"

	"ftlab/ftlib/llm"
)

// Quantize writes the model in a directory of safetensors with its linear layers in four
// or eight bits, as a new directory out with a receipt; see [llm.QuantizeFiles]. Where
// something is already it is refused, and when anything fails nothing is left behind.
func Quantize(dir, out string, q llm.QuantOptions, r Receipt) (done llm.QuantizedFiles, err error) {
	if err := Free(out, dir); err != nil {
		return done, err
	}
	err = Whole(out, func(tmp string) error {
		var err error
		if done, err = llm.QuantizeFiles(dir, tmp, q); err != nil {
			return err
		}
		if r.Base, err = StampOf(dir); err != nil {
			return err
		}
		if text, err := os.ReadFile(filepath.Join(tmp, "chat_template.jinja")); err == nil {
			r.Template = TextHash(string(text))
		}
		return r.seal(tmp)
	})
	return done, err
}
