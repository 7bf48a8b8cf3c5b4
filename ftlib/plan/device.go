package plan

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"strings"

	"gopkg.in/yaml.v3"
)

// Device is where a run computes.
type Device struct {
	Name      string  `json:"name" yaml:"name"`
	Title     string  `json:"title" yaml:"title"`
	GiB       float64 `json:"gib" yaml:"gib"`                         // memory
	Half      float64 `json:"half_tflops" yaml:"half"`                // peak, 16 bits with float32 accumulation
	Single    float64 `json:"single_tflops" yaml:"single"`            // peak, float32
	TF32      float64 `json:"tf32_tflops" yaml:"tf32"`                // peak, float32 products in TensorFloat-32; without it, Single
	Bandwidth float64 `json:"bandwidth" yaml:"bandwidth"`             // GB/s
	Reach     float64 `json:"reach" yaml:"reach"`                     // share of the peak that training gets
	Source    string  `json:"reach_source" yaml:"reach_source"`       // of Reach
	Price     float64 `json:"price,omitempty" yaml:"price,omitempty"` // dollars an hour; 0: not for rent
	Count     int     `json:"count,omitempty" yaml:"count,omitempty"` // of them; 0: one. Memory and rates are added up

	Rates *Rates `json:"rates,omitempty" yaml:"-"` // of a processor: measured instead of peaks
}

// Devices are a table of them with where its figures come from.
type Devices struct {
	Source       string   `yaml:"source"`
	PricesSource string   `yaml:"prices_source"`
	PricesDate   string   `yaml:"prices_date"`
	Devices      []Device `yaml:"devices"`
}

//go:embed devices.yaml
var devicesFile []byte

// KnownDevices is the table that comes with FTLab.
func KnownDevices() Devices {
	d, err := readDevices(devicesFile)
	if err != nil {
		panic("plan: devices.yaml: " + err.Error()) // embedded
	}
	return d
}

// DevicesYAML is the table as a file that can be edited.
func DevicesYAML() []byte { return bytes.Clone(devicesFile) }

// ReadDevices reads a table from a file like devices.yaml.
func ReadDevices(path string) (Devices, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Devices{}, fmt.Errorf("plan: %w", err)
	}
	d, err := readDevices(data)
	if err != nil {
		return d, fmt.Errorf("plan: %s: %w", path, err)
	}
	return d, nil
}

func readDevices(data []byte) (Devices, error) {
	var d Devices
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil {
		return d, err
	}
	for _, x := range d.Devices {
		if x.Name == "" || x.GiB <= 0 || x.Half <= 0 || x.Single <= 0 || x.TF32 <= 0 || x.Bandwidth <= 0 || x.Reach <= 0 || x.Reach > 1 {
			return d, fmt.Errorf("device %q: name, gib, half, single, tf32 and bandwidth must be given, and reach between 0 and 1", x.Name)
		}
	}
	return d, nil
}

// Find is a device by name: "rtx4090", "RTX 4090", "8xa100".
func (d Devices) Find(name string) (Device, error) {
	squeeze := strings.NewReplacer(" ", "", "-", "", "_", "", "gb", "", "nvidia", "", "geforce", "")
	asked, times := strings.ToLower(strings.TrimSpace(name)), 1
	if n, rest, ok := strings.Cut(asked, "x"); ok {
		var k int
		if _, err := fmt.Sscanf(n, "%d", &k); err == nil && k > 0 && fmt.Sprint(k) == strings.TrimSpace(n) {
			asked, times = rest, k
		}
	}
	asked = squeeze.Replace(asked)
	var names []string
	for _, x := range d.Devices {
		names = append(names, x.Name)
		title := squeeze.Replace(strings.ToLower(x.Title))
		if asked == squeeze.Replace(x.Name) || asked == title || asked == title+"vram" || asked+"12" == title || asked+"80" == title {
			if times > 1 {
				x.Count, x.Title = times, fmt.Sprintf("%d x %s", times, x.Title)
			}
			return x, nil
		}
	}
	return Device{}, fmt.Errorf("plan: no device %q; known are %s, or several as 8xa100", name, strings.Join(names, ", "))
}

// FindDevice is a device of the table that comes with FTLab.
func FindDevice(name string) (Device, error) { return KnownDevices().Find(name) }

// Bytes is the memory of the device, or of all of them, in bytes.
func (d Device) Bytes() int64 { return int64(d.GiB * gib * float64(max(1, d.Count))) }

// GPU says whether it is one.
func (d Device) GPU() bool { return d.Half > 0 }

// Place is what a setup must know of the device.
func (d Device) Place() Place { return Place{GPU: d.GPU(), Memory: d.Bytes()} }
