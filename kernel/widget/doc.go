// Package widget speaks the protocol of ipywidgets (version 2.1) from Go, so that
// sliders, buttons and charts work in JupyterLab, Notebook and VS Code with no Python
// in the kernel.
//
// The [Hub] lives in the kernel process and holds the state of every widget. A cell
// reaches it through a [Client], over the unix socket that FTLAB_KERNEL names. Both
// are a [UI], so that the same code runs in a cell, in the kernel ([Hub.Host]) and,
// with a hub that no front end is attached to, in a plain program:
//
//	w, err := ui.Open(widget.Spec{Name: "lr", Kind: widget.FloatSlider, State: widget.State{"max": 1.0}})
//	stop, err := ui.Watch(w.ID, func(e widget.Event) { fmt.Println(e.State["value"]) })
//	err = ui.Update(w.ID, widget.State{"value": 0.5})
//
// A widget is found again by its name: whoever opens the name "lr" later, perhaps
// another cell, gets the same widget with the value that the user has set. It lives as
// long as the kernel. One without a name lives as long as there is room.
//
// The way of a value:
//
//	slider in the page --comm_msg--> Hub.Handle --event--> Client in a cell --> Watch's function
//	Client.Update --request--> Hub.Update --comm_msg--> every page that shows the slider
//
// A page that is loaded again asks for all states and gets them from the hub alone:
// no cell needs to run.
//
// Most people use this through ftlab/kernel/notebook, which has a type for each kind
// of widget.
package widget
