// Package world makes every text that the project teaches with: a small world
// of simple English in which twenty people live in eight towns, cook eight dishes,
// watch films, and solve word problems with the mistakes that pupils make.
//
// A [World] is made from a seed; two worlds of one seed are equal, and so is all
// that they write. From one world come
//
//   - [World.Documents]: plain text to pretrain a model on, in a fixed [Mixture];
//   - [World.Reviews], [World.Chat], [World.Preferences], [World.Math], [World.Steps]
//     and [World.Code]: rows to fine-tune and to evaluate with, split so that no
//     validation row, nor one nearly like it, is in training;
//   - [Problem] and [Pupil]: arithmetic whose every step can be checked.
//
// Nothing is copied from anywhere: sentences are put together from the word
// lists in this package. That is also what the data can teach: in this world every
// review has a true sentiment, every question one right answer, every step of a
// solution a label that is right, so that a method either works or does not.
//
// Three things are in the world on purpose, for the methods that come later.
// Most pupils add where they should subtract, so that a model trained on their
// work solves few problems of two steps although it computes well: there is
// something for reinforcement and for self-taught reasoning to find. People
// answer politely or curtly with the same facts: there is something to prefer.
// The words "positive" and "negative" are said about films, never under a review:
// there is something for a classifier to learn.
package world
