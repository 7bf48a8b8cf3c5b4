package backend

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what a run has to work with.
type Machine struct {
	OS        string   `json:"os"`
	Arch      string   `json:"arch"`
	CPU       string   `json:"cpu,omitempty"`
	Cores     int      `json:"cores"`                  // that this process may use
	SIMD      []string `json:"simd,omitempty"`         // instruction sets that matter to matrix products
	Memory    int64    `json:"memory_bytes,omitempty"` // 0: not known
	Available int64    `json:"available_bytes,omitempty"`
	GPUs      []GPU    `json:"gpus,omitempty"`
	HugePages string   `json:"huge_pages,omitempty"` // the kernel's setting: "always", "madvise", "never"
	HugeOn    bool     `json:"huge_pages_on"`        // malloc of this process asks for them
}

// GPU is one graphics card as nvidia-smi describes it.
type GPU struct {
	Name   string `json:"name"`
	Memory int64  `json:"memory_bytes"`
	Driver string `json:"driver"`
}

// ThisMachine looks at the machine. What cannot be found out stays zero.
func ThisMachine() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0)}
	m.HugeOn, m.HugePages = HugePagesOn()
	cpu := colonFile("/proc/cpuinfo")
	m.CPU = cpu["model name"]
	flags := " " + cpu["flags"] + cpu["Features"] + " "
	for _, f := range []string{"avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve"} {
		if strings.Contains(flags, " "+f+" ") {
			m.SIMD = append(m.SIMD, f)
		}
	}
	mem := colonFile("/proc/meminfo")
	m.Memory, m.Available = kilobytes(mem["MemTotal"]), kilobytes(mem["MemAvailable"])
	if gpu() != "" {
		m.GPUs = gpus()
	}
	return m
}

// colonFile reads a file of "key : value" lines; the first value of a key counts.
func colonFile(path string) map[string]string {
	out := map[string]string{}
	f, err := os.Open(path)
	if err != nil {
		return out
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		key = strings.TrimSpace(key)
		if _, seen := out[key]; ok && !seen {
			out[key] = strings.TrimSpace(value)
		}
	}
	return out
}

// kilobytes reads "123 kB" as bytes.
func kilobytes(s string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(s, " kB"), 10, 64)
	return n << 10
}

// gpus asks nvidia-smi.
func gpus() []GPU {
	out, err := exec.Command("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits").Output()
	if err != nil {
		return nil
	}
	return parseGPUs(string(out))
}

// parseGPUs reads lines of "name, memory in MiB, driver version".
func parseGPUs(out string) []GPU {
	var list []GPU
	for line := range strings.Lines(out) {
		part := strings.Split(line, ",")
		if len(part) != 3 {
			continue
		}
		mib, _ := strconv.ParseInt(strings.TrimSpace(part[1]), 10, 64)
		list = append(list, GPU{Name: strings.TrimSpace(part[0]), Memory: mib << 20, Driver: strings.TrimSpace(part[2])})
	}
	return list
}
