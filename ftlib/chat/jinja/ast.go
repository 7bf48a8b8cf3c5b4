package jinja

// Statements and expressions of a parsed template. Each keeps its line for errors.

type expr interface{ at() int }

type pos int

func (p pos) at() int { return int(p) }

type (
	constExpr struct {
		pos
		v Value
	}
	nameExpr struct {
		pos
		name string
	}
	listExpr struct {
		pos
		items []expr
		tuple bool
	}
	dictExpr struct {
		pos
		keys, values []expr
	}
	attrExpr struct { // x.name
		pos
		x    expr
		name string
	}
	itemExpr struct { // x[i]
		pos
		x, i expr
	}
	sliceExpr struct { // only as the index of an itemExpr; nil parts are absent
		pos
		from, to, step expr
	}
	callExpr struct {
		pos
		f    expr
		args args
	}
	filterExpr struct { // x|name(args); x is nil in a filter block
		pos
		x    expr
		name string
		args args
	}
	testExpr struct { // x is name(args)
		pos
		x    expr
		name string
		args args
	}
	notExpr struct {
		pos
		x expr
	}
	signExpr struct {
		pos
		x   expr
		neg bool
	}
	logicExpr struct { // and, or
		pos
		a, b expr
		or   bool
	}
	binExpr struct {
		pos
		op   string
		a, b expr
	}
	concatExpr struct { // a ~ b ~ c
		pos
		parts []expr
	}
	compareExpr struct { // a < b <= c
		pos
		first expr
		ops   []string
		rest  []expr
	}
	condExpr struct { // a if test else b; b may be nil
		pos
		test, a, b expr
	}
	nsExpr struct { // ns.attr as the target of a set
		pos
		name, attr string
	}
)

// args of a call: positional, by name, and the two spreads.
type args struct {
	list     []expr
	names    []string
	named    []expr
	star, kw expr
}

type stmt interface{ at() int }

type (
	dataStmt struct {
		pos
		text string
	}
	printStmt struct {
		pos
		x expr
	}
	ifStmt struct {
		pos
		tests  []expr
		bodies [][]stmt
		orElse []stmt
	}
	forStmt struct {
		pos
		target       expr
		iter, test   expr // test may be nil
		body, orElse []stmt
		recursive    bool
	}
	setStmt struct {
		pos
		target expr
		x      expr        // nil: the body is the value
		filter *filterExpr // of the body; may be nil
		body   []stmt
	}
	macroStmt struct {
		pos
		name     string
		params   []string
		defaults []expr // of the last parameters
		varargs  bool   // the body reads what is left over of the arguments
		kwargs   bool
		body     []stmt
	}
	callStmt struct {
		pos
		call  *callExpr
		macro *macroStmt // the caller
	}
	filterStmt struct {
		pos
		filter *filterExpr
		body   []stmt
	}
	withStmt struct {
		pos
		targets []expr
		values  []expr
		body    []stmt
	}
	scopeStmt struct { // autoescape; its body has a scope of its own
		pos
		body []stmt
	}
	generationStmt struct {
		pos
		body []stmt
	}
	jumpStmt struct {
		pos
		brk bool
	}
)
