package corpus

// Want overrides what recognition would find. The zero value overrides nothing.
type Want struct {
	// Format is a kind ("chat", "preference", ...) or a form of one
	// ("sharegpt", "gsm8k", ...; see [Forms]).
	Format string
	// Columns maps a field of the form to a column of the file:
	// {"prompt": "question"}. A dot reaches into nested values
	// ("reward_model.ground_truth.target"). Three more keys set options:
	// "label.VALUE" is the word that is written for a class label
	// ("label.1": "positive"), "template" the text around a sentence to be
	// classified ("Review: {text}\nSentiment:"), and "calculator": "strip"
	// removes GSM8K's <<48/2=24>> annotations.
	Columns map[string]string
}

// Mapping says what the rows of a data set are and where each field is found. It
// comes from [Recognise], which looks at all rows.
type Mapping struct {
	Kind    Kind              `json:"kind"`
	Form    string            `json:"form"`    // the form inside the kind: "hh-rlhf", "gsm8k", "sharegpt"
	Columns map[string]string `json:"columns"` // field -> column
	Unused  []string          `json:"unused,omitempty"`

	Rows    int           `json:"rows"`    // seen
	Fits    int           `json:"fits"`    // rows that become a record
	Misfits int           `json:"misfits"` // readable rows that do not
	Broken  int           `json:"broken"`  // rows that could not be read
	Reasons []Reason      `json:"reasons"` // why, most frequent first
	Others  []Alternative `json:"others"`  // what else the rows could be
	Notes   []string      `json:"notes,omitempty"`
	Forced  bool          `json:"forced,omitempty"` // Want.Format decided

	Labels     map[string]string `json:"labels,omitempty"`   // class label -> word that is trained
	Template   string            `json:"template,omitempty"` // around a sentence to classify, with {text}
	Calculator string            `json:"calculator,omitempty"`
}

// Reason counts the rows with one fault.
type Reason struct {
	What   string `json:"what"`
	Column string `json:"column,omitempty"`
	Count  int    `json:"count"`
	File   string `json:"file"` // of the first such row
	Row    int    `json:"row"`
}

// Alternative is a reading of the rows that was considered and not taken.
type Alternative struct {
	Kind Kind   `json:"kind"`
	Form string `json:"form"`
	Fits int    `json:"fits"`
	Why  string `json:"why"` // not taken
}
