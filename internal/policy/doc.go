// Package policy has no code, only tests: the rules of the house that a machine can
// keep. They read the source files, and start the scripts where these must refuse.
//
//   - which package may import which (the arrows of the layout), and which know
//     nothing of GoMLX: imports_test.go
//   - one package comment a package, small files, formatted source, nothing left
//     unfinished, no replace lines, no names of machines or foreign hosts, a README
//     that lists every package: house_test.go
//   - what scripts/lab says on a machine that lacks something, and how scripts/test
//     counts: scripts_test.go
//
// A change that breaks a rule for a good reason changes the rule here, in the same
// commit.
package policy
