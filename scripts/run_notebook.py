"""Executes notebooks without a browser and saves them with their outputs.

    run_notebook.py [--out FOLDER] [--still] [--solve] NOTEBOOK.ipynb ...

Saves in place, or into FOLDER. A notebook whose cell fails is saved as far as it got;
the failing cell and its error are printed and the exit code is 1.

--still keeps what can be committed: charts as pictures, no widgets, no times.
--solve puts the solution that an exercise has in its metadata in its place, and fails
where the exercise does not say that it is solved.
FTLAB_PROFILE (classroom or full) is what the notebook sees, and is kept with the hash of
its cells in its metadata: package internal/course compares it.
"""

import argparse
import hashlib
import html
import os
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


def still(output):
    """What is kept of an output: no widgets, charts as pictures, no times."""
    if output.output_type == "stream":
        return [output]
    data = output.get("data")
    if not data:
        return [output]
    data.pop("application/vnd.jupyter.widget-view+json", None)
    page = data.get("text/html")
    if page is not None:
        page = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", page, flags=re.S) if "ftlab-chart" in page else page
        if "image/svg+xml" in data:  # the picture of the page's chart
            page = re.sub(r'<div id="[^"]*" class="ftlab-chart".*?</div>', "", page, flags=re.S)
        data["text/html"] = page = timeless(page)
        if not page.strip():
            del data["text/html"]
    if "text/plain" in data:
        data["text/plain"] = timeless(data["text/plain"])
    if not data:
        return []
    if "text/html" in data and "image/svg+xml" in data:  # a line, and its chart below it
        picture = nbformat.v4.new_output("display_data", {"image/svg+xml": data.pop("image/svg+xml")})
        return [output, picture]
    return [output]


def timeless(text):
    """The line of a run that has ended, without how long it took."""
    text = re.sub(r"((?:done|stopped): \d+ steps) in [\d.]+ (?:s|min|h)\b", r"\1", text)
    return re.sub(r" · [\d,]+ tokens/s", "", text)


def fingerprint(notebook):
    """The hash of the cells that make outputs, as internal/course computes it."""
    digest = hashlib.sha256()
    for cell in notebook.cells:
        if cell.cell_type == "code" and not cell.source.startswith("import ("):
            digest.update(cell.source.encode() + b"\0")
    return digest.hexdigest()[:16]


def solve(cell):
    """The source of an exercise with its solution in place of its first lines."""
    solution = cell.metadata.get("ftlab", {}).get("solution")
    if not solution:
        return False
    lines = cell.source.split("\n")
    end = lines.index("")
    first = ["%%"] if lines[0] == "%%" else []
    cell.source = "\n".join(first + [solution] + lines[end:])
    return True


def solved(cell):
    return any("✓" in (o.get("data", {}).get("text/plain") or "") for o in cell.outputs)


def execute(path, out, keep_still, with_solutions):
    """Executes one notebook; returns an explanation when a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["ftlab"] = {"executed": fingerprint(notebook), "profile": os.environ.get("FTLAB_PROFILE") or "classroom"}
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
                exercise = with_solutions and solve(cell)
                client.execute_cell(cell, index, execution_count=count)
                print(f"  ({time.monotonic() - start:.1f} s)", flush=True)
                if exercise and not solved(cell):
                    failure = explain(cell, count, "the solution of the exercise does not solve it")
                    break
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
        notebook.metadata.pop("ftlab")
    if keep_still:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [kept for o in cell.outputs for kept in still(o)]
    temporary = out.with_suffix(".ipynb.tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(out)
    return failure


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--still", action="store_true")
    parser.add_argument("--solve", action="store_true")
    parser.add_argument("notebooks", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    failed = 0
    for path in args.notebooks:
        path = path.resolve()
        out = args.out / path.name if args.out else path
        print(path.name, flush=True)
        start = time.monotonic()
        failure = execute(path, out, args.still, args.solve)
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
