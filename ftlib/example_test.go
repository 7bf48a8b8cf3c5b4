package ftlib_test

import (
	"fmt"

	"ftlab/ftlib"
)

func ExampleDecode() {
	run, err := ftlib.Decode([]byte(`
model: {path: models/tiny}
data:  {train: reviews.parquet}
lora:  {r: 8}
`), "run.yaml")
	if err != nil {
		panic(err)
	}
	full := run.Resolve()
	fmt.Println(full.LoRA.Alpha, full.Optim.LearningRate, full.Optim.Schedule, full.Batch.Size)
	// Output: 16 0.0002 linear 4
}

func ExampleDecode_mistake() {
	_, err := ftlib.Decode([]byte("optim:\n  learning_rte: 1e-4\n"), "run.yaml")
	fmt.Println(err)
	// Output: ftlib: run.yaml line 2: unknown key "optim.learning_rte"; did you mean "optim.learning_rate"?
}

func ExampleRun_Set() {
	var run ftlib.Run
	for _, s := range []string{"optim.learning_rate=1e-4", "lora.target_modules=q_proj,v_proj"} {
		if err := run.Set(s); err != nil {
			panic(err)
		}
	}
	fmt.Println(run.Optim.LearningRate, run.LoRA.Targets)
	// Output: 0.0001 [q_proj v_proj]
}

func ExampleRun_Validate() {
	run := ftlib.Run{Model: ftlib.Model{Path: "models/tiny"}, Optim: ftlib.Optim{Schedule: "cosin"}}
	fmt.Println(run.Validate())
	// Output:
	// ftlib: data.train: missing; name the rows to train on: a file, a directory, a glob or a hub data set
	// ftlib: optim.lr_scheduler_type: "cosin" is not one of linear, cosine, constant (did you mean "cosine"?)
}
