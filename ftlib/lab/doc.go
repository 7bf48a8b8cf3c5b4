// Package lab keeps models between programs: what one notebook cell has loaded or
// trained, the next one uses, with nothing read, copied or compiled again.
//
//	m := notebook.Must(lab.Model("ft-tiny"))  // the first cell loads it, all others find it
//	lab.List()                                // what is resident, and how big
//	lab.Drop("ft-tiny")                       // free it
//
// A model is what [llm] makes of it: generate with it, train it, switch adapters. What is
// trained on it stays the cell's own until it is kept; a run does so by itself, under its
// name:
//
//	run := ftlib.Run{Name: "reviews", Data: data, LoRA: &ftlib.LoRA{R: 8}}
//	tune.Run(ctx, run, tune.Options{Model: m})
//
//	m := notebook.Must(lab.Model("reviews"))  // a later cell: the model with its adapter
//	more := ftlib.Run{Name: "reviews-2", Data: data}
//	tune.Run(ctx, more, tune.Options{Model: m}) // goes on, with the optimizer's state
//	lab.Keep("mine", m)                       // any model, at any moment
//
// Many adapters can be kept over one model: weights that are the same are there once.
//
// # Where it is
//
// With the backend "session:", as in every cell, models are in the device server, and
// outlive the cell, its crash, an interrupt and a restarted kernel. With any other
// backend they are in the process: the same code runs as a plain program.
//
// [Keep] takes a snapshot: another program sees all of the old tensors or all of the new
// ones, and what is trained on afterwards does not change it.
//
// # Names
//
// "ft-tiny" is a model that was kept by this name, else models/ft-tiny of the checkout
// that the program stands in or was built from. A path names a directory in Hugging
// Face's layout or a llama2.c .bin file, and "owner/name" a model in the hub's cache (see
// [llm.Resolve]).
//
// A model whose files have changed on disk is read again, and [Log] says so. One that has
// been trained since stays as it is, and Log says that.
package lab
