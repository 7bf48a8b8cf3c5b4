package course

import (
	"fmt"
	"strings"
)

// Program is a notebook as one Go program, which runs its cells from the first to the last:
// the same code without a kernel. With solutions, exercises are solved.
func Program(cells []Cell, solutions bool) string {
	imports, declarations, calls := "", "", ""
	for i, c := range cells {
		switch source, runs := strings.CutPrefix(c.Source, "%%\n"); {
		case !c.Code:
		case strings.HasPrefix(source, importing):
			imports = source
		case !runs:
			declarations += source + "\n\n"
		default:
			if _, rest, ok := strings.Cut(source, "\n\n"); ok && solutions && c.Solution != "" {
				source = c.Solution + "\n\n" + rest
			}
			declarations += fmt.Sprintf("func cell%d() {\n%s\n}\n\n", i+1, source)
			calls += fmt.Sprintf("\tcell%d()\n", i+1)
		}
	}
	return "package main\n\n" + imports + "\n\n" + declarations + "func main() {\n" + calls + "}\n"
}
