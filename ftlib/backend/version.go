package backend

import "runtime/debug"

// moduleVersion returns the version of a module that is built into this program.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Path + " " + m.Version
		}
	}
	return ""
}
