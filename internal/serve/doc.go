// Package serve answers over HTTP with a model and its adapters, in the form of OpenAI's
// chat and completions endpoints, and has a page to chat on. One text is written at a
// time; who comes meanwhile waits in a queue.
package serve
