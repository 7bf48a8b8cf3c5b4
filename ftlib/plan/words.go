package plan

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"ftlab/ftlib"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// trim writes a number with at most three decimals.
func trim(v float64) string {
	s := strconv.FormatFloat(v, 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// count writes a number of weights: 6.5 B, 110 M.
func count(n int64) string {
	switch v := float64(n); {
	case v >= 1e9:
		return trim1(v/1e9) + " B"
	case v >= 1e6:
		return trim1(v/1e6) + " M"
	case v >= 1e3:
		return trim1(v/1e3) + " k"
	}
	return itoa(n)
}

func trim1(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// Size writes bytes in GiB or MiB.
func Size(n int64) string {
	switch {
	case n >= 10*gib:
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	case n >= gib:
		return fmt.Sprintf("%.2f GiB", float64(n)/gib)
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/mib)
}

// Hours writes a time in seconds.
func Duration(seconds float64) string {
	switch {
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	case seconds < 120:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 2*3600:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 72*3600:
		return fmt.Sprintf("%.1f h", seconds/3600)
	}
	return fmt.Sprintf("%.1f days", seconds/86400)
}

// readAdapter reads rank and targets of an adapter_config.json.
func readAdapter(data []byte, l *ftlib.LoRA) {
	var f struct {
		R       int             `json:"r"`
		Targets json.RawMessage `json:"target_modules"`
		DoRA    bool            `json:"use_dora"`
	}
	if json.Unmarshal(data, &f) != nil {
		return
	}
	if f.R > 0 {
		l.R = f.R
	}
	l.DoRA = f.DoRA
	_ = json.Unmarshal(f.Targets, &l.Targets)
}
