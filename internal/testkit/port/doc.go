// Package port finds free TCP ports for servers that tests start in other processes: ports
// that the system gives to nobody else in between, however many tests run at once.
package port
