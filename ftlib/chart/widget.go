package chart

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
)

// WidgetOption is [Figure.Option] for the widget EChartsRaw of ipecharts, which ships
// ECharts for Jupyter: with the ground of the page, and with functions that write
// numbers as [Figure.HTML] does.
func (f Figure) WidgetOption() (json.RawMessage, error) {
	data, err := f.Option()
	if err != nil {
		return nil, err
	}
	var o struct {
		Tooltip map[string]any   `json:"tooltip"`
		YAxis   []map[string]any `json:"yAxis"`
		Series  []map[string]any `json:"series"`
	}
	var all map[string]any
	for _, into := range []any{&o, &all} {
		if err := json.Unmarshal(data, into); err != nil {
			return nil, fmt.Errorf("chart: %q: %w", f.Title, err)
		}
	}
	var names []string // the order of the legend, also where a series comes late
	for _, series := range f.Series {
		if !slices.Contains(names, series.Name) {
			names = append(names, series.Name)
		}
	}
	if legend, ok := all["legend"].(map[string]any); ok && len(names) > 1 {
		legend["data"] = names
	}
	all["backgroundColor"] = "transparent" // the dark theme of ECharts is blue
	units := []Unit{}
	for _, s := range f.Series {
		units = append(units, f.axisOf(s).Unit)
	}
	if o.Tooltip == nil {
		o.Tooltip = map[string]any{}
	}
	o.Tooltip["confine"] = true
	o.Tooltip["formatter"] = function(digitsJS+fmt.Sprintf("var units=%s,x=%s;", mustJSON(units), mustJSON(f.X.Name))+tip, "params")
	for i, a := range f.axes() {
		if i < len(o.YAxis) {
			label, _ := o.YAxis[i]["axisLabel"].(map[string]any)
			if label == nil {
				label = map[string]any{}
			}
			label["formatter"] = function(digitsJS+fmt.Sprintf("return write(v,%s);", mustJSON(a.Unit)), "v")
			o.YAxis[i]["axisLabel"] = label
		}
	}
	if len(f.Bars) > 0 {
		for i, s := range o.Series {
			label, _ := s["label"].(map[string]any)
			if label != nil && i < len(units) {
				label["formatter"] = function(digitsJS+fmt.Sprintf("return write(p.value,%s);", mustJSON(units[i])), "p")
			}
		}
	}
	all["tooltip"], all["yAxis"], all["series"] = o.Tooltip, o.YAxis, o.Series
	if data, err = json.Marshal(all); err != nil {
		return nil, fmt.Errorf("chart: %q: %w", f.Title, err)
	}
	return data, nil
}

// function is a JavaScript function as ipecharts takes one in an option: its names and
// its body in base64.
func function(body string, names ...string) string {
	return "__ipecharts_jsfn__::" + base64.StdEncoding.EncodeToString(mustJSON(append(names, body)))
}

// mustJSON is for strings, which always can be JSON.
func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// digitsJS writes numbers as runtime.js does.
const digitsJS = `function digits(v){if(v===0)return"0";var a=Math.abs(v);
if(a<1e-2||a>=1e6)return v.toExponential(2).replace(/\.?0+e/,"e").replace("e+","e");return String(+v.toPrecision(4));}
function write(v,unit){return unit==="share"?(100*v).toFixed(1).replace(/\.0$/,"")+" %":digits(v);}
`

// tip is the text beside the pointer, made of the units of the series and the name of x.
const tip = `var list=Array.isArray(params)?params:[params];
function esc(s){return String(s).replace(/[&<>"]/g,function(c){return{"&":"&amp;","<":"&lt;",">":"&gt;",'"':"&quot;"}[c];});}
var lines=[Array.isArray(params)&&x?"<b>"+esc(x)+" "+digits(list[0].axisValue)+"</b>":esc(list[0].name)];
list.forEach(function(p){var v=Array.isArray(p.value)?p.value[1]:p.value,u=units[p.seriesIndex],more="";
if(u==="nats"&&v<50)more=" <span style='opacity:.65'>right token "+(100*Math.exp(-v)).toPrecision(2)+" %</span>";
lines.push(p.marker+esc(p.seriesName)+" <b>"+write(v,u)+"</b>"+more);});
return lines.join("<br>");`
