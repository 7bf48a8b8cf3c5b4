"""Records what ipywidgets and ipecharts say to a front end, for the tests of kernel/widget.

    venv/bin/python scripts/golden/widgets.py testdata/widgets/ipywidgets.json

needs ipywidgets and ipecharts (scripts/requirements.txt). No kernel runs: the comms of
the widgets are caught. Ids are replaced by w1, w2, ... in the order of their comm_open.

    {"env": {"ipywidgets": "...", "ipecharts": "..."},
     "opened": {"FloatSlider": [{"msg_type": "comm_open", "content": {...}, "metadata": {...}}, ...], ...},
     "talks":  {"slider": [{"from": "front end", ...}, {"from": "kernel", ...}, ...], ...}}
"""

import json
import re
import sys

import comm
from comm.base_comm import BaseComm

sent = []


class Caught(BaseComm):
    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        content = {"data": data, "comm_id": self.comm_id, **keys}
        sent.append({"from": "kernel", "msg_type": msg_type, "content": content,
                     "metadata": metadata or {}, "buffers": len(buffers or [])})


comm.create_comm = lambda *args, **keys: Caught(*args, **keys)

import ipecharts  # noqa: E402
import ipywidgets as w  # noqa: E402

MAKE = {
    "FloatSlider": lambda: w.FloatSlider(value=0.5, min=0, max=2, step=0.25, description="x"),
    "IntSlider": lambda: w.IntSlider(value=3, min=1, max=9, description="n"),
    "FloatLogSlider": lambda: w.FloatLogSlider(value=1e-3, base=10, min=-5, max=-2, step=0.1, description="lr"),
    "Dropdown": lambda: w.Dropdown(options=["a", "b", "c"], value="b", description="which"),
    "Select": lambda: w.Select(options=["a", "b", "c"], value="b", description="which"),
    "RadioButtons": lambda: w.RadioButtons(options=["a", "b", "c"], value="b", description="which"),
    "ToggleButtons": lambda: w.ToggleButtons(options=["a", "b", "c"], value="b", description="which"),
    "Checkbox": lambda: w.Checkbox(value=True, description="yes"),
    "ToggleButton": lambda: w.ToggleButton(value=True, description="on"),
    "Button": lambda: w.Button(description="Stop", button_style="danger", icon="stop"),
    "FloatProgress": lambda: w.FloatProgress(value=0.3, min=0, max=1, description="done"),
    "IntProgress": lambda: w.IntProgress(value=3, min=0, max=10, description="done"),
    "Text": lambda: w.Text(value="hi", description="say"),
    "Textarea": lambda: w.Textarea(value="hi", description="say"),
    "FloatText": lambda: w.FloatText(value=0.5, description="x"),
    "IntText": lambda: w.IntText(value=3, description="n"),
    "Label": lambda: w.Label(value="hi"),
    "HTML": lambda: w.HTML(value="<b>hi</b>"),
    "Output": lambda: w.Output(),
    "HBox": lambda: w.HBox([w.Label(value="a"), w.Label(value="b")]),
    "VBox": lambda: w.VBox([w.Label(value="a"), w.Label(value="b")]),
    "Tab": lambda: w.Tab([w.Label(value="a"), w.Label(value="b")], titles=["one", "two"]),
    "Accordion": lambda: w.Accordion([w.Label(value="a"), w.Label(value="b")], titles=["one", "two"]),
    "EChartsRaw": lambda: ipecharts.EChartsRawWidget(option={"series": [{"type": "line", "data": [1, 2]}]}),
}


def renamed(messages):
    text = json.dumps(messages)
    names = {}
    for m in messages:
        if m["msg_type"] == "comm_open":
            names.setdefault(m["content"]["comm_id"], "w%d" % (len(names) + 1))
    return json.loads(re.sub("|".join(map(re.escape, names)), lambda m: names[m.group()], text))


def record(make):
    sent.clear()
    make()
    return renamed(list(sent))


def tell(c, data):
    """A comm_msg of the front end to a comm of the kernel."""
    message = {"content": {"comm_id": c.comm_id, "data": data}, "metadata": {}, "buffers": []}
    sent.append({"from": "front end", "msg_type": "comm_msg", "content": message["content"], "metadata": {}, "buffers": 0})
    c.handle_msg(message)


def slider():
    s = w.FloatSlider(value=0.5, min=0, max=2, step=0.25)
    s.value = 1.0  # the kernel moves it
    tell(s.comm, {"method": "update", "state": {"value": 1.5}, "buffer_paths": []})
    tell(s.comm, {"method": "request_state"})
    tell(s.comm, {"method": "update", "state": {"value": 9.0}, "buffer_paths": []})  # beyond the end
    s.max = 1.25  # the value goes with it
    s.close()


def button():
    b = w.Button(description="go")
    tell(b.comm, {"method": "custom", "content": {"event": "click"}})
    b.disabled = True


def choice():
    d = w.Dropdown(options=["a", "b", "c"], value="b")
    tell(d.comm, {"method": "update", "state": {"index": 2}, "buffer_paths": []})
    d.value = "a"


def states():
    w.Label(value="a")
    control = Caught(target_name="jupyter.widget.control", comm_id="control", primary=False)
    w.Widget.handle_control_comm_opened(control, {"metadata": {"version": "1.0.0"}})
    tell(control, {"method": "request_states"})


def clean(make):
    def fresh():
        w.Widget.close_all()
        sent.clear()
        make()
    return fresh


result = {
    "env": {"ipywidgets": w.__version__, "ipecharts": ipecharts.__version__},
    "opened": {name: record(make) for name, make in MAKE.items()},
    "talks": {f.__name__: record(clean(f)) for f in (slider, button, choice, states)},
}
with open(sys.argv[1], "w") as f:
    json.dump(result, f, indent=1)
    f.write("\n")
