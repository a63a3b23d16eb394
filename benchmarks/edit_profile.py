"""Where the time of an edit goes, operation by operation, against the rates that this machine reaches.

    OMP_NUM_THREADS=1 python benchmarks/edit_profile.py [--images 8] [--rounds 3] [--dtype float32] [--json FILE]

The bundled editor edits scenes on the CPU, one edit of each and four of each. Every operation of torch is timed as it
runs; what is left of the time is Python and the dispatch of operations. Rates of convolutions and of matrix products
are shown in TFLOP/s, and as a share of the rate of a large 3×3 convolution and of a large product, measured in the
same run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from counting import OPERATIONS, rates
from edit_throughput import EDITS, Inputs
from torch.utils._python_dispatch import TorchDispatchMode

from augsal_transforms import SaliencyEditor

SHOWN = 12  # operations; the others are summed
CONVOLUTION = "convolution"


@dataclass
class Row:
    """Time of an operation an edit, its share of the whole, its rate, and that rate's share of the machine's."""

    operation: str
    milliseconds: float
    share: float
    rate: float = 0.0
    share_of_rate: float = 0.0


class Stopwatch(TorchDispatchMode):
    """Times every operation in the block, and counts its arithmetic.

    Attributes:
        seconds: Seconds by the operation's name; convolutions with a kernel of 1×1 have a name of their own.
        operations: Arithmetic operations by the same names.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds, self.operations = defaultdict[str, float](float), defaultdict[str, float](float)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        started = time.perf_counter()
        result = function(*args, **(kwargs or {}))
        seconds = time.perf_counter() - started
        name = function._schema.name.removeprefix("aten::")
        if name == CONVOLUTION:
            name += " {}×{}".format(*args[1].shape[-2:]) + (", transposed" if args[6] else "")
        self.seconds[name] += seconds
        if count := OPERATIONS.get(function._overloadpacket):
            self.operations[name] += count(*args, **(kwargs or {}), out_val=result)
        return result


def profile(edit: Any, edits: int, rounds: int, machine: tuple[float, float]) -> list[Row]:
    """Rows of the longest operations of ``edits`` edits, of all others together, and of Python.

    Args:
        edit: Makes the edits.
        edits: Number of edits that it makes.
        rounds: Number of times that it is called; the fastest call counts.
        machine: Rates of a matrix product and of a convolution, in operations a second.
    """
    edit()  # what is prepared at first
    fastest: tuple[float, Stopwatch] | None = None
    for _ in range(rounds):
        started = time.perf_counter()
        with Stopwatch() as watch:
            edit()
        spent = time.perf_counter() - started
        if fastest is None or spent < fastest[0]:
            fastest = spent, watch
    assert fastest is not None
    spent, watch = fastest
    rows = []
    for name, seconds in sorted(watch.seconds.items(), key=lambda item: -item[1]):
        rate = watch.operations[name] / seconds if watch.operations[name] else 0.0
        limit = machine[1] if name.startswith(CONVOLUTION) else machine[0]
        rows.append(Row(name, 1000 * seconds / edits, seconds / spent, rate / 1e12, rate / limit))
    longest, others = rows[:SHOWN], rows[SHOWN:]
    longest.append(
        Row(f"{len(others)} others", *(sum(getattr(row, n) for row in others) for n in ("milliseconds", "share")))
    )
    python = spent - sum(watch.seconds.values())
    return [*longest, Row("Python", 1000 * python / edits, python / spent)]


def print_rows(rows: list[Row]) -> None:
    print("| operation | ms an edit | of the time | TFLOP/s | of the machine's rate |\n|---|---|---|---|---|")
    for row in rows:
        rate = f"{row.rate:.3f} | {row.share_of_rate:.0%}" if row.rate else "|"
        print(f"| {row.operation} | {row.milliseconds:.1f} | {row.share:.1%} | {rate} |")
    print()


def main(arguments: list[str] | None = None) -> dict[int, list[Row]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args(arguments)
    dtype = getattr(torch, options.dtype)
    editor, machine = SaliencyEditor.from_pretrained("bundled", dtype=dtype), rates(torch.device("cpu"), dtype)
    inputs = Inputs.render(options.images, editor.model.resolution)
    print(f"a matrix product: {machine[0] / 1e12:.3f} TFLOP/s; a 3×3 convolution: {machine[1] / 1e12:.3f} TFLOP/s\n")
    found = {}
    for count in (1, 4):
        wanted = [[EDITS[(n + k) % 4] for k in range(count)] for n in range(options.images)]
        edit = partial(editor.edit, inputs.images, inputs.saliency_maps, inputs.captions, wanted)
        print(f"J = {count}\n")
        found[count] = profile(edit, count * options.images, options.rounds, machine)
        print_rows(found[count])
    if options.json:
        figures = {f"J = {count}": [asdict(row) for row in rows] for count, rows in found.items()}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return found


if __name__ == "__main__":
    main()
