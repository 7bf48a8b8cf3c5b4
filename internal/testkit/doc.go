// Package testkit holds what the tests of several packages need: where golden
// numbers and real data files are, and a backend to compute on.
package testkit
