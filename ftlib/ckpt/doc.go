// Package ckpt keeps a run on disk so that nothing is lost. A run is a directory:
//
//	runs/sft-reviews-20260304-050607/
//	    run.yaml         the whole resolved specification
//	    env.json         versions, machine, command line, hashes of model, tokenizer and data
//	    metrics.jsonl    one ftlib.Event a line, only ever appended to
//	    step-200/        a checkpoint: adapter_config.json and adapter_model.safetensors as
//	                     PEFT writes them, state.safetensors (weights and optimizer moments),
//	                     state.json (step, losses, data position, size and CRC of every file)
//	    lock             held while a process trains the run
//
// Every file and directory appears whole or not at all: it is written under a name
// that starts with a dot, synced, and renamed. So kill -9 at any moment, or a full
// disk, leaves a directory that loads. [Find] resolves "latest" and "best" by
// looking at the checkpoints themselves: there is no link or pointer file that could
// be wrong. A checkpoint whose files do not have their recorded size is not one.
//
// metrics.jsonl is synced with every checkpoint. [Events] reads it: a torn last
// line is ignored, and steps that a resumed run took a second time count once.
package ckpt
