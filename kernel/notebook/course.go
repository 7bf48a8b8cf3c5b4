package notebook

import (
	"fmt"
	"html"
	"os"
	"strings"

	"ftlab/ftlib"
)

// ProfileEnv names the variable that chooses how the course's notebooks run.
const ProfileEnv = "FTLAB_PROFILE"

// The profiles of the course.
const (
	Classroom = "classroom" // the teaching model and the teaching data: minutes on two cores
	Full      = "full"      // the real model and the real data: hours on a GPU
)

// Profile is the profile that FTLAB_PROFILE names, [Classroom] without one.
func Profile() string {
	switch p := os.Getenv(ProfileEnv); p {
	case "":
		return Classroom
	case Classroom, Full:
		return p
	default:
		Check(fmt.Errorf("notebook: %s=%q is neither %s nor %s", ProfileEnv, p, Classroom, Full))
		return Classroom
	}
}

// SetEnv names a variable with settings that [Preset] changes, parted by spaces, as
// [ftlib.Run.Set] takes them: "batch.max_steps=20 data.limit=200" for a first try.
const SetEnv = "FTLAB_SET"

// Preset is a run of docs/presets for the profile [Full], seen from a notebook of the
// course, with the settings of FTLAB_SET.
func Preset(name string) ftlib.Run {
	run := Must(ftlib.ReadFile("../docs/presets/" + name + ".yaml"))
	for _, setting := range strings.Fields(os.Getenv(SetEnv)) {
		if err := run.Set(setting); err != nil {
			Check(fmt.Errorf("notebook: %s: %w", SetEnv, err))
		}
	}
	return run
}

// Expect compares a number with the range that the course states for the profile
// [Classroom], and ends the cell where it is outside. With another profile it is only told.
func Expect(profile, what string, got, low, high float64) {
	number := fmt.Sprintf("%.4g", got)
	line := func(colour, mark, text string) {
		emit(bundle{
			html: fmt.Sprintf(`<div style="border-left:4px solid %s;padding:.1em .8em">%s%s</div>`, colour, mark, html.EscapeString(text)),
			text: mark + text + "\n",
		})
	}
	if profile != Classroom {
		line("#8a929c", "", fmt.Sprintf("%s: %s", what, number))
		return
	}
	want := fmt.Sprintf("expected %s to %s", fmt.Sprintf("%.4g", low), fmt.Sprintf("%.4g", high))
	if !(got >= low && got <= high) { // so that NaN is none
		line("#d64f5c", "✗ ", fmt.Sprintf("%s: %s, %s", what, number, want))
		exit(1)
		return
	}
	line("#2e9e6b", "✓ ", fmt.Sprintf("%s: %s (%s)", what, number, want))
}
