package corpus

func knownColumn(name string) bool { return name == "prompt" }
