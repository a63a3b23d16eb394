"""Run the cells of tour.ipynb without Jupyter, and keep what they print and draw in the notebook.

python examples/run_tour.py
"""

from __future__ import annotations

import argparse
import ast
import base64
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import PIL.Image

from augsal_transforms.progress import Quiet, progress_bar

NOTEBOOK = Path(__file__).parent / "tour.ipynb"


def run_cells(notebook: dict[str, Any]) -> None:
    """Run the code cells of a notebook from top to bottom, as Jupyter does, and set their outputs.

    Args:
        notebook: The content of a notebook file.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(progress_bar(cells, "cell"), 1):
        code = ast.parse("".join(cell["source"]))
        last = code.body.pop() if isinstance(code.body[-1], ast.Expr) else None
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"cell {number}", "exec"), names)
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names) if last else None
        cell["execution_count"] = number
        cell["outputs"] = [*as_text(printed.getvalue()), *as_value(value, number)]


def as_text(printed: str) -> list[dict[str, Any]]:
    if not printed:
        return []
    return [{"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)}]


def as_value(value: Any, number: int) -> list[dict[str, Any]]:
    if value is None:
        return []
    data: dict[str, Any] = {"text/plain": [repr(value)]}
    if isinstance(value, PIL.Image.Image):
        stream = io.BytesIO()
        value.save(stream, "JPEG", quality=80)  # a quarter of a PNG's size
        data = {"image/jpeg": base64.b64encode(stream.getvalue()).decode(), "text/plain": ["<a picture>"]}
    return [{"output_type": "execute_result", "execution_count": number, "data": data, "metadata": {}}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quiet", action=Quiet)
    parser.parse_args()
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    start = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            run_cells(notebook)
        finally:
            os.chdir(start)
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{NOTEBOOK}, {NOTEBOOK.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
