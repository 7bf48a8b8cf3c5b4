// Package gopls asks gopls, the language server of Go, what could be written at a place
// of a program and what stands there.
//
//	c, err := gopls.Start(ctx, gopls.Config{Program: "gopls", Dir: dir})
//	defer c.Close()
//	c.Update(text)                       // the program, in memory
//	items, err := c.Complete(ctx, pos)
//
// It speaks the language server protocol over the program's standard input and output
// and knows one file, main.go of a scratch module, whose content is never written.
package gopls
