// Package tensorboard writes the events of a run as TensorBoard reads them: a file
// events.out.tfevents.* of TFRecords, each an Event of TensorFlow's event.proto with one
// number a tag. The tags are those of transformers' TensorBoardCallback: "train/loss",
// "train/learning_rate", "eval/loss", and the method's own below "train/" and "eval/".
//
// A Writer is a sink of a run: run.ReportTo = []string{"tensorboard"} puts one beside
// metrics.jsonl, which stays what everything else reads. Write makes the file of a run that
// was trained without.
package tensorboard
