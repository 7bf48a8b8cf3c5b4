package lab

import (
	"fmt"
	"html"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gomlx/compute/shapes"

	"ftlab/ftlib/llm"
)

// Resident is a model that is resident. Sizes are in bytes.
type Resident struct {
	Name      string    `json:"name"`
	Path      string    `json:"path,omitempty"` // that it was loaded from
	Params    int64     `json:"params"`         // weights of the model itself, without the adapter
	Weights   int64     `json:"weights"`
	Adapter   int64     `json:"adapter,omitempty"`
	Optimizer int64     `json:"optimizer,omitempty"` // moments
	Shared    int64     `json:"shared,omitempty"`    // of all these, what models before it in the list have too
	With      string    `json:"with,omitempty"`      // the first of them
	Kept      time.Time `json:"kept"`

	tensors map[uint64]int64 // bytes by identity
}

// Bytes are all tensors of the model, those shared with others included.
func (r Resident) Bytes() int64 { return r.Weights + r.Adapter + r.Optimizer }

func (r *Resident) add(name string, id uint64, s shapes.Shape) {
	bytes := s.ByteSize()
	switch {
	case strings.HasPrefix(name, llm.PartWeights):
		r.Weights += bytes
		r.Params += int64(s.Size())
	case strings.HasPrefix(name, llm.PartAdapter):
		r.Adapter += bytes
	default:
		r.Optimizer += bytes
	}
	if r.tensors == nil {
		r.tensors = map[uint64]int64{}
	}
	r.tensors[id] = bytes
}

// Residents is what [List] tells. A notebook shows it as a table.
type Residents []Resident

// share finds which tensors are in several models.
func (list Residents) share() {
	first := map[uint64]string{}
	for i := range list {
		r := &list[i]
		for id, bytes := range r.tensors {
			if with, ok := first[id]; ok {
				r.Shared += bytes
				if r.With == "" || with < r.With {
					r.With = with
				}
			}
		}
		for id := range r.tensors {
			if _, ok := first[id]; !ok {
				first[id] = r.Name
			}
		}
	}
}

func (list Residents) names() []string {
	var names []string
	for _, r := range list {
		names = append(names, r.Name)
	}
	return names
}

// Bytes is what all models take together: tensors that several of them have count once.
func (list Residents) Bytes() (n int64) {
	for _, r := range list {
		n += r.Bytes() - r.Shared
	}
	return n
}

var head = []string{"name", "parameters", "weights", "adapter", "optimizer", "in all", "kept", "from"}

func (list Residents) rows() [][]string {
	var rows [][]string
	for _, r := range list {
		all := size(r.Bytes())
		if r.Shared > 0 {
			all += fmt.Sprintf(" (%s with %s)", size(r.Shared), r.With)
		}
		rows = append(rows, []string{r.Name, fmt.Sprint(r.Params), size(r.Weights), size(r.Adapter), size(r.Optimizer), all, r.Kept.Format(time.DateTime), r.Path})
	}
	return rows
}

// String is a table, with the sum of all in its last line.
func (list Residents) String() string {
	if len(list) == 0 {
		return "nothing is resident"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, row := range list.rows() {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	fmt.Fprintf(&b, "together %s", size(list.Bytes()))
	return b.String()
}

// HTML is the same table for a notebook.
func (list Residents) HTML() string {
	if len(list) == 0 {
		return "<i>nothing is resident</i>"
	}
	var b strings.Builder
	line := func(tag string, cells []string) {
		b.WriteString("<tr>")
		for _, c := range cells {
			b.WriteString("<" + tag + ` style="text-align:left">` + html.EscapeString(c) + "</" + tag + ">")
		}
		b.WriteString("</tr>")
	}
	b.WriteString("<table>")
	line("th", head)
	for _, row := range list.rows() {
		line("td", row)
	}
	b.WriteString("</table><small>together " + size(list.Bytes()) + "</small>")
	return b.String()
}

// size is a number of bytes for people; "" for none.
func size(n int64) string {
	switch {
	case n == 0:
		return ""
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}
