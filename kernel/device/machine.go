package device

import (
	"bytes"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/gomlx/compute"
)

// memory is what the machine, or the control group that confines this process, has in
// all and has left, in bytes; zeros where that cannot be known.
func memory() (total, available int64) {
	total, available = field("/proc/meminfo", "MemTotal:")<<10, field("/proc/meminfo", "MemAvailable:")<<10
	for _, g := range controlGroups() {
		limit, used := number(g.limit), number(g.used)
		if limit <= 0 || limit >= total {
			continue // "max", or a limit that is none
		}
		left := limit - used + field(g.stat, g.cache) // the page cache is given back on demand
		total, available = limit, min(available, max(left, 0))
	}
	return total, available
}

// resident is the memory of this process in bytes; 0 if that is not known.
func resident() int64 {
	data, err := os.ReadFile("/proc/self/statm")
	if f := bytes.Fields(data); err == nil && len(f) > 1 {
		n, _ := strconv.ParseInt(string(f[1]), 10, 64)
		return n * int64(os.Getpagesize())
	}
	return 0
}

type controlGroup struct{ limit, used, stat, cache string }

// controlGroups are those of this process and above it, of either version.
func controlGroups() (groups []controlGroup) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) < 3 {
			continue
		}
		// In a container the path may be one that only the host can see: all of its
		// parents are tried, up to the root that is mounted here.
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			switch {
			case parts[0] == "0":
				d := path.Join("/sys/fs/cgroup", dir)
				groups = append(groups, controlGroup{d + "/memory.max", d + "/memory.current", d + "/memory.stat", "inactive_file"})
			case strings.Contains(","+parts[1]+",", ",memory,"):
				d := path.Join("/sys/fs/cgroup/memory", dir)
				groups = append(groups, controlGroup{d + "/memory.limit_in_bytes", d + "/memory.usage_in_bytes", d + "/memory.stat", "total_inactive_file"})
			}
			if dir == "/" {
				break
			}
		}
	}
	return groups
}

// number reads a file that holds one number; 0 for anything else.
func number(file string) int64 {
	data, _ := os.ReadFile(file)
	n, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return n
}

// field reads the number after a name at the start of a line; 0 if it is not there.
func field(file, name string) int64 {
	data, _ := os.ReadFile(file)
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == name {
			n, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return n
		}
	}
	return 0
}

// inHostMemory says whether a backend's buffers are in the memory of this machine, not
// of a device with its own.
func inHostMemory(b compute.Backend) bool {
	text := strings.ToLower(b.Description())
	for n := range b.NumDevices() {
		text += " " + strings.ToLower(b.DeviceDescription(compute.DeviceNum(n)))
	}
	for _, device := range []string{"cuda", "gpu", "rocm", "tpu", "metal"} {
		if strings.Contains(text, device) {
			return false
		}
	}
	return true
}

// giveBack returns freed memory to the machine; it takes a garbage collection.
var giveBack = debug.FreeOSMemory
