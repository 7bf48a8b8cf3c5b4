"""What somebody waits for in a notebook, measured as a Jupyter client sees it.

    latency.py KERNELS NAME ROUNDS    NAME is start_to_result, new_cell or edited_cell

KERNELS is the folder that holds the kernelspec "ftlab". Prints one number a round, in
milliseconds: from the moment a kernel is asked for, or a cell is sent, to the first output
of the cell.
"""

import sys
import time

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

# Each cell uses the resident model and prints what came out. new is another program each
# time, with a declaration that no cell had before; edited differs in a number.
NEW = """import (
	"fmt"

	"ftlab/ftlib/lab"
	"ftlab/kernel/notebook"
)

func first%d(names []string) string { return fmt.Sprintf("%%s %d", names[0]) }

m := notebook.Must(lab.Model("ft-tiny"))
fmt.Println(first%d(m.Names()), notebook.Must(m.Weight(m.Names()[0]))[%d])
"""
EDITED = """m := notebook.Must(lab.Model("ft-tiny"))
fmt.Println(m.Names()[%d], notebook.Must(m.Weight(m.Names()[0]))[%d])
"""


def start(kernels):
    manager = KernelManager(kernel_name="ftlab")
    manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[kernels])
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    return manager, client


def run(client, code):
    """Runs a cell and returns the seconds to its first output, and that output."""
    begin = time.perf_counter()
    request = client.execute(code, store_history=False)  # nobody's history holds these cells
    first, text = None, ""
    while True:
        message = client.get_iopub_msg(timeout=300)
        if message["parent_header"].get("msg_id") != request:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind in ("stream", "execute_result"):
            first = first or time.perf_counter() - begin
            text += content.get("text") or content["data"]["text/plain"]
        elif kind == "error":
            sys.exit("the cell failed: %s" % "\n".join(content["traceback"]))
        elif kind == "status" and content["execution_state"] == "idle":
            if first is None:
                sys.exit("the cell printed nothing:\n" + code)
            return first, text


def main():
    kernels, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if name == "start_to_result":
        for _ in range(rounds + 1):
            begin = time.perf_counter()
            manager, client = start(kernels)
            client.wait_for_ready(timeout=120)
            _, text = run(client, "1+2")
            assert text.strip() == "3", text
            print("%.1f" % ((time.perf_counter() - begin) * 1e3), flush=True)
            client.stop_channels()
            manager.shutdown_kernel()
        return
    manager, client = start(kernels)
    try:
        client.wait_for_ready(timeout=120)
        run(client, NEW % (1000, 1000, 1000, 0))  # loads the model
        for i in range(rounds + 1):
            code = NEW % (i, i, i, i) if name == "new_cell" else EDITED % (i % 8, i)
            first, _ = run(client, code)
            print("%.1f" % (first * 1e3), flush=True)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


main()
