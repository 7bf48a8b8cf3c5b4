// Package ftlib says WHAT to run: a [Run] is the whole specification of a
// fine-tuning run as plain structs that encode to JSON and YAML, an [Event] is
// one thing that happened in it. How it runs is package tune.
package ftlib
