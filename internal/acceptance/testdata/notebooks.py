"""nbclient and papermill on this kernel."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def notebook(*sources):
    cells = [nbformat.v4.new_code_cell(s) for s in sources]
    kernel = {"name": "ftlab", "language": "go", "display_name": "FTLab (Go)"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def text(cell):
    return "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)


class NBClient(unittest.TestCase):
    def test_execute(self):
        nb = notebook("type point struct{ X, Y int }", "p := point{1, 2}\nfmt.Println(p.X)\np", "!echo shell")
        NotebookClient(nb, timeout=60, kernel_name="ftlab").execute()
        self.assertEqual([o.output_type for o in nb.cells[1].outputs], ["stream", "execute_result"])
        self.assertEqual(text(nb.cells[1]), "1\n{X:1 Y:2}")
        self.assertEqual(nb.cells[1].execution_count, 2)
        self.assertEqual(text(nb.cells[2]), "shell\n")
        nbformat.validate(nb)

    def test_error(self):
        nb = notebook("fmt.Println(1)\nmissing()", "2")
        with self.assertRaisesRegex(CellExecutionError, "undefined: missing"):
            NotebookClient(nb, timeout=60, kernel_name="ftlab").execute()
        self.assertEqual(nb.cells[1].outputs, [])


class Papermill(unittest.TestCase):
    def run_papermill(self, nb, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            here, out = pathlib.Path(folder) / "in.ipynb", pathlib.Path(folder) / "out.ipynb"
            nbformat.write(nb, here)
            p = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", here, out, *arguments],
                               capture_output=True, text=True, timeout=120)
            return p, nbformat.read(out, as_version=4) if out.exists() else None

    def test_parameters(self):
        nb = notebook(
            'var steps, rate, name, fast, sizes = 60, 5e-3, "none", false, []int{1}\nvar share = map[string]float64{}',
            'fmt.Println(steps+1, rate*2, name, fast, len(sizes), share["a"])')
        nb.cells[0].metadata["tags"] = ["parameters"]
        p, out = self.run_papermill(nb, "-p", "steps", "1", "-p", "rate", "0.25", "-r", "name", 'a "b"\\n', "-p", "fast", "true",
                                    "-y", "{sizes: [1, 2, 3], share: {a: 1, b: 0.5}}")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(text(out.cells[-1]), '2 0.5 a "b"\\n true 3 1\n')
        self.assertEqual(out.cells[1].metadata["tags"], ["injected-parameters"])
        p, out = self.run_papermill(nb)
        self.assertEqual(text(out.cells[-1]), "61 0.01 none false 1 0\n", p.stderr)

    def test_failure(self):
        p, out = self.run_papermill(notebook("panic(\"no\")"))
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("panic: no", p.stderr)
        self.assertIsNotNone(out)

    def test_help(self):
        nb = notebook("var steps int = 60 // how long")
        nb.cells[0].metadata["tags"] = ["parameters"]
        p, _ = self.run_papermill(nb, "--help-notebook")
        self.assertIn("steps", p.stdout)
        self.assertIn("how long", p.stdout)
