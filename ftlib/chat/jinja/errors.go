package jinja

import "fmt"

// Error is what went wrong and in which line of the template.
type Error struct {
	Line   int    // of the template, from 1; 0 where unknown
	Kind   string // the Python exception that Jinja2 raises here: TemplateSyntaxError, UndefinedError, TypeError, ...
	Msg    string
	Raised bool // the template itself refused the conversation, with raise_exception
}

func (e *Error) Error() string {
	if e.Raised {
		return fmt.Sprintf("jinja: line %d: the template refuses this conversation: %s", e.Line, e.Msg)
	}
	return fmt.Sprintf("jinja: line %d: %s: %s", e.Line, e.Kind, e.Msg)
}

// The evaluator reports errors by panicking with *Error; Parse and Render recover them.
func fail(kind, format string, args ...any) {
	panic(&Error{Kind: kind, Msg: fmt.Sprintf(format, args...)})
}

func failAt(line int, kind, format string, args ...any) {
	panic(&Error{Line: line, Kind: kind, Msg: fmt.Sprintf(format, args...)})
}

// caught turns a panic with *Error into the error; any other panic goes on.
func caught(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		*err = r
	default:
		panic(r)
	}
}
