// Package corpus is the way from a data file to what a training step reads.
//
//	path      Open, Resolve      rows, as they stand in the file        Row
//	rows      Recognise          what they are, and which column is what Mapping
//	row       Format             a record whose fields have a meaning   Record
//	record    Spans, Encode      tokens, and which of them are trained  Example
//	examples  NewBatches         arrays of one length                   Batch
//
// [Read] makes the first three steps in one call. Everything streams: a file is
// never held whole, and a sequence of rows may be ranged over again.
//
// # Files
//
// Parquet of any schema (nested structs, lists and maps of both generations,
// dictionaries, every codec), JSON Lines, JSON (a list of objects, or an object
// that holds one), csv and tsv with or without a header, and plain text whose
// documents are separated by blank lines or <|endoftext|>; all but parquet also
// packed with gzip or zstandard. A path may be a directory, a glob, or the name of
// a data set that lies in the hub's cache on this disk.
//
// # Kinds and forms
//
// A kind is what a row is for (chat, preference, reasoning ...), a form is one way
// in which data sets write it ("sharegpt", "hh-rlhf", "gsm8k"); [Forms] lists them.
// Recognise looks at all rows, by names and by contents, and says how many fit and
// why the others do not. [Want] overrides it.
//
// # Faults
//
// Nothing is dropped in silence. A row that cannot be read or does not fit is a
// [*RowError] beside the row, with file, row and column; reading goes on where the
// file allows. [Check] gathers all faults of a data set in one report, and what
// training would refuse is marked as refused.
//
// # Splitting
//
// [Split] decides by content: order and session change nothing, rows that ask the same
// stay together, and the validation part is as large as was asked for.
package corpus
