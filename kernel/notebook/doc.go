// Package notebook is what cells draw with.
//
//	notebook.Show(figure)                     // a chart, a table, any value
//	notebook.LossChart(events...)             // the loss of a run that is done
//	live := notebook.Live("LoRA on reviews")  // a sink: the chart moves while the cell trains
//	notebook.Watch(run)                       // a run in the background: charts, health, buttons
//	notebook.Tokens(views)                    // every token, coloured by trained or not
//	notebook.Mask{Model: dir}.File(path, 3)   // the rows of a file as a run sees them
//	notebook.Compare("runs/a", "runs/b")      // runs over each other, and how they differ
//	notebook.Generate{...}.Show(prompts...)   // several adapters of one model, side by side
//	notebook.Table(rows)                      // structs, maps, data rows or strings
//	notebook.SideBySide(prompt, before, after)
//	notebook.Steps(solutions...)              // steps coloured by how likely each is right
//	notebook.BestOf(result)                   // ways to choose one of N solutions
//	notebook.Calibration(margins)             // what the margins of a reward model are worth
//	notebook.Rationales("runs/star")          // what a self-taught reasoner kept and threw away
//	model := notebook.Must(llm.Load(...))     // stop the cell with a short message
//
// Under a GoNB kernel each of these becomes a rich output that carries its plain
// form too, so that a saved notebook can be read anywhere. The same program started
// with `go run` prints the plain form: nothing here needs a notebook.
//
// Widgets ask. Each kind is a struct that says what is wanted; Show makes it, and its
// value has a type:
//
//	lr := notebook.LogSlider{Name: "lr", Min: 1e-5, Max: 1e-2, Value: 1e-3}.Show()
//	stop := notebook.Button{Label: "Stop", Colour: notebook.Danger}.Show()
//	stop.OnClick(cancel)
//	... lr.Value() ...
//
// In the FTLab kernel a widget outlives its cell: the next cell that opens the name "lr",
// or asks [ValueOf], gets what the user has set, and a page that is loaded again shows
// it. New makes a widget without showing it, for a [Column], [Row] or [Tabs]; In makes it
// in a given place, such as a view that the kernel hosts ([ShowHosted]) and that goes on
// when its cell has ended. A [Chart] is redrawn at most four times a second.
//
// Outputs take the colours of the page they stand in, light or dark, and fetch
// nothing from a network.
package notebook
