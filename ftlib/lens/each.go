package lens

import (
	"cmp"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// each calls do for 0 to n-1, on all processors, and joins the errors.
func each(n int, do func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, n)
	var wait sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = do(i)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func byDirection(turns []Turn) []Turn {
	turns = slices.Clone(turns)
	slices.SortFunc(turns, func(a, b Turn) int { return cmp.Compare(a.Direction, b.Direction) })
	return turns
}
