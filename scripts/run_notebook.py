"""Executes notebooks without a browser and saves them with their outputs.

    run_notebook.py [--out FOLDER] NOTEBOOK.ipynb ...

Saves in place, or into FOLDER. A notebook whose cell fails is saved as far as it got;
the failing cell and its error are printed and the exit code is 1.
"""

import argparse
import html
import pathlib
import re
import sys
import time

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

CELL_SECONDS = 1200  # a cell that takes longer hangs


def title(cell):
    """The first line of a cell that says something."""
    for line in cell.source.splitlines():
        if line.strip() and line.strip() not in ("%%", "import ("):
            return line.strip()[:60]
    return ""


def plain(text):
    """Text without terminal colours, and without HTML where there is some."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    text = html.unescape(re.sub(r"<[^>]+>", "\n", text))
    return re.sub(r"\n\s*\n+", "\n", text).strip()


def explain(cell, number, error):
    """What went wrong in a cell: its source, and what it printed last."""
    lines = [f"cell {number} failed:", ""]
    lines += ["    " + line for line in cell.source.splitlines()]
    lines.append("")
    for output in cell.get("outputs", [])[-4:]:
        if output.output_type == "stream":
            lines.append(plain(output.text)[-3000:])
        elif output.output_type == "display_data":
            data = output.data
            lines.append(plain(data.get("text/plain") or data.get("text/html", ""))[-3000:])
    lines.append(error)
    return "\n".join(lines)


def execute(path, out):
    """Executes one notebook; returns an explanation when a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        startup_timeout=180,
        record_timing=False,
        coalesce_streams=True,
        kernel_name=notebook.metadata.get("kernelspec", {}).get("name", "ftlab"),
        resources={"metadata": {"path": str(path.parent)}},
    )
    failure = None
    count = 0
    current = None
    try:
        with client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type != "code" or not cell.source.strip():
                    continue
                count += 1
                current = cell
                start = time.monotonic()
                print(f"  [{count}] {title(cell)}", end="", flush=True)
                client.execute_cell(cell, index, execution_count=count)
                print(f"  ({time.monotonic() - start:.1f} s)", flush=True)
    except CellExecutionError as err:
        failure = explain(current, count, f"{err.ename}: {err.evalue}")
    except CellTimeoutError:
        failure = explain(current, count, f"it took longer than {CELL_SECONDS} s")
    except (DeadKernelError, RuntimeError) as err:
        if current:
            failure = explain(current, count, f"the kernel died: {err}")
        else:
            failure = f"the kernel did not start ({err}); its messages are above"
    if failure:
        print(flush=True)
    temporary = out.with_suffix(".ipynb.tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(out)
    return failure


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("notebooks", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    failed = 0
    for path in args.notebooks:
        path = path.resolve()
        out = args.out / path.name if args.out else path
        print(path.name, flush=True)
        start = time.monotonic()
        failure = execute(path, out)
        if failure:
            failed += 1
            print(f"{path.name}: {failure}", file=sys.stderr, flush=True)
        else:
            print(f"{path.name}: done in {time.monotonic() - start:.0f} s, saved", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
