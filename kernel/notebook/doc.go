// Package notebook is what cells draw with.
//
//	notebook.Show(figure)                     // a chart, a table, any value
//	notebook.LossChart(events...)             // the loss of a run that is done
//	live := notebook.Live("LoRA on reviews")  // a sink: the chart moves while the cell trains
//	notebook.Tokens(views)                    // every token, coloured by trained or not
//	notebook.Table(rows)                      // structs, maps, data rows or strings
//	notebook.SideBySide(prompt, before, after)
//	model := notebook.Must(llm.Load(...))     // stop the cell with a short message
//
// Under a GoNB kernel each of these becomes a rich output that carries its plain
// form too, so that a saved notebook can be read anywhere. The same program started
// with `go run` prints the plain form: nothing here needs a notebook.
//
// Outputs take the colours of the page they stand in, light or dark, and fetch
// nothing from a network.
package notebook
