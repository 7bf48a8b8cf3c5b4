// Package jinja is an interpreter for the Jinja templates that tokenizers carry.
//
// It renders a template the way transformers does (Jinja2's immutable sandbox with
// trim_blocks, lstrip_blocks, loop controls, {% generation %}, raise_exception,
// strftime_now and a JSON filter that keeps non-ASCII text), down to the byte, and it
// knows where every byte of the output came from:
//
//	t, err := jinja.Parse("{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}")
//	out, err := t.Render(map[string]jinja.Value{"messages": ...}, jinja.Options{})
//	out.Text  // what the model sees
//	out.Marks // which bytes were read from which message, and which stand in {% generation %}
//
// # Where the text came from
//
// A string value carries marks: byte ranges with a tag (the number of the message that
// the text was read from) and a kind. Concatenation, slices, strip, split, join, replace
// and the other string operations carry marks along, so after any amount of template
// code the output still tells a user's words from the template's own. A literal that is
// printed in a loop over messages is marked with the message of that turn of the loop.
//
// # What is there
//
// Statements: if, for (with if, else, recursive, break, continue), set (also with a
// body, and on namespaces), macro, call, filter, with, raw, generation, autoescape off.
// Expressions: everything of Jinja2, with Python's arithmetic, comparison, slices,
// str() and repr(). Undefined prints nothing and raises when it is looked into. Not
// there: include, import, extends and block, which chat templates cannot use.
//
// Errors carry the line of the template. What a template raises itself with
// raise_exception comes back as an [Error] with Raised set, its message untouched.
package jinja
