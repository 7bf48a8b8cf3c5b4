package lab

// Forget empties the store of this process.
func Forget() {
	here.mu.Lock()
	defer here.mu.Unlock()
	here.models = map[string]resident{}
}
