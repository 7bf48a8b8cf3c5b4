// Package examples is a folder of programs, one for each method, each complete in its file:
//
//	go run scripts/examples/dpo.go
//
// They say in Go what the run files of docs/examples/methods say in YAML. Their build tag keeps
// them out of builds of the whole project: every one of them is a main.
package examples
