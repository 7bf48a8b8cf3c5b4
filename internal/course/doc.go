// Package course makes the notebooks of the course from their sources and says whether what
// is committed is in step with them.
//
// A source, notebooks/source/NAME.md, is Markdown with the cells in it as fenced blocks of Go.
// It has no outputs, no quotes and no ids, so that a change of a notebook is read like a change
// of a text. What is between two blocks is a cell of text; a heading "## " begins another one.
//
//	```go                a cell
//	```go parameters     the cell whose variables papermill sets
//	```go solution       what solves the exercise in the cell before: it takes the place of that
//	                     cell's lines up to the first empty one. It is in the cell's metadata,
//	                     and seen by those who look there and by scripts/test
//
// Other blocks ("```yaml") stay text.
//
//	go run ./internal/course/cmd/make            writes notebooks/*.ipynb
//	scripts/notebooks [NAME ...]                 writes and executes them, and keeps small outputs
//
// An execution writes the hash of the cells into the notebook's metadata. Outputs are kept only
// while that hash fits; a test looks at every notebook.
package course
