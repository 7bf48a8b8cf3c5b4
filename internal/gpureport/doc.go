// Command gpureport tries everything that matters on a machine with a GPU and writes one
// Markdown page to share: the golden tests, a training step of each method, memory beside
// the ledger's estimate, and throughput. It is started by scripts/gpu_report; with
// -backend xla:cpu it shows on any machine that it works.
package main
