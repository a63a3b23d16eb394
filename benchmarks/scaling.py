"""Measure how the cost of an edit grows with image size, batch size, edits per image and noise levels.

    python benchmarks/scaling.py [--editor bundled] [--sides 128 192 256 384] [--device cpu] [--json FILE]

For SD v1.5 use sides from 256 to 768 or 1024; the bundled editor, made for 128 px, is measured over the same factor of
three. Images have the size at which the editor works. On a CPU, seconds are processor time (set OMP_NUM_THREADS=1). All
points are measured in turns. Each slope is that of a line through the logarithms: cost ∝ quantity^slope.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from counting import Cost, Method, alternate, bandwidth, ceiling, measure_cost
from figures import Figure, report

from augsal_transforms import Brightness, EditConfig, SaliencyEditor
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.scenes.observer import observe
from augsal_transforms.scenes.scenes import render_scene

BAR = 1.15
Point = tuple[str, int, Method]  # the quantity, its value, and edits at that value


def edits_of(editor: SaliencyEditor, side: int, batch: int, edits: int, config: EditConfig) -> Method:
    """Make ``edits`` edits of each of ``batch`` scenes of ``side`` pixels, analysis included."""
    scenes = [render_scene(n, seed=800, size=side) for n in range(batch)]
    maps = [observe(scene.image, scene.objects, seed=n) for n, scene in enumerate(scenes)]
    given = ([scene.image for scene in scenes], maps, [scene.caption for scene in scenes])
    wanted = [[Brightness(0.03 * (k + 1)) for k in range(edits)] for _ in scenes]
    sized = replace(editor, config=replace(config, resolution=side, batch_size=batch * edits))
    run: Callable[[], object] = partial(sized.edit, *given, wanted)
    return Method(f"{side} px", run, editor.model.unet, editor.model.vae, batch * edits)


def points(editor: SaliencyEditor, sides: list[int], batches: list[int]) -> list[Point]:
    """List the points: one quantity varies at a time, from one edit of one smallest image at one noise level."""
    side, config = sides[0], editor.config
    return [
        *(("side", value, edits_of(editor, value, 1, 1, config)) for value in sides),
        *(("batch", value, edits_of(editor, side, value, 1, config)) for value in batches),
        *(("edits of an image", value, edits_of(editor, side, 1, value, config)) for value in (1, 2, 4, 8)),
        *(("noise levels", n, edits_of(editor, side, 1, 1, replace(config, steps=n))) for n in (1, 2, 4, 8)),
    ]


def slope(xs: list[float], ys: list[float]) -> float:
    """Compute the slope of the least-squares line through (log x, log y)."""
    x, y = (torch.tensor(values, dtype=torch.float64).log() for values in (xs, ys))
    x, y = x - x.mean(), y - y.mean()
    return ((x * y).sum() / (x * x).sum()).item()


def measure(given: list[Point], rounds: int, *, cuda: bool, peak: float = math.nan) -> list[tuple[str, int, Cost]]:
    """Measure the cost of an edit at each point, and its share of ``peak``, in operations a second."""
    costs = [measure_cost(method) for _, _, method in progress_bar(given, "point", "counting")]
    times = alternate({str(n): method.run for n, (_, _, method) in enumerate(given)}, rounds, cuda=cuda)
    for n, (cost, (_, _, method)) in enumerate(zip(costs, given, strict=True)):
        cost.seconds = times[str(n)] / method.edits
        cost.share_of_ceiling = cost.operations / cost.seconds / peak
    return [(quantity, value, cost) for (quantity, value, _), cost in zip(given, costs, strict=True)]


def figures(measured: list[tuple[str, int, Cost]]) -> list[Figure]:
    """Compare the costs of each quantity with those of its first value, and compute slopes; one has a bar."""
    found = []
    for quantity in dict.fromkeys(quantity for quantity, _, _ in measured):
        rows = [(value, cost) for name, value, cost in measured if name == quantity]
        first = rows[0][1]
        for value, cost in rows:
            memory = "" if math.isnan(cost.gigabytes) else f", {cost.gigabytes:.1f} GB"
            share = "" if math.isnan(cost.share_of_ceiling) else f", {cost.share_of_ceiling:.0%} of the ceiling"
            ratio, operations = cost.seconds / first.seconds, cost.operations / first.operations
            found.append(
                Figure(f"{quantity} {value}", f"time × {ratio:.2f}, operations × {operations:.2f}{memory}{share}")
            )
        xs = [float(value) ** (2 if quantity == "side" else 1) for value, _ in rows]
        found_slope = slope(xs, [cost.seconds for _, cost in rows])
        bar = (f"≤ {BAR}", found_slope <= BAR) if quantity == "side" else ()
        found.append(Figure(f"slope over {'pixels' if quantity == 'side' else quantity}", f"{found_slope:.2f}", *bar))
    return found


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--editor", default="bundled")
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 192, 256, 384])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    cuda = device.type == "cuda"
    peak = ceiling(device, torch.bfloat16 if cuda else torch.float32)
    dtype = torch.float16 if cuda else torch.float32
    editor = SaliencyEditor.from_pretrained(options.editor, device=options.device, dtype=dtype)
    measured = measure(points(editor, options.sides, options.batches), options.rounds, cuda=cuda, peak=peak)
    limits = f"{peak / 1e12:.3g} TFLOP/s in {'bfloat16' if cuda else 'float32'}, {bandwidth(device) / 1e9:.0f} GB/s"
    found = [*figures(measured), Figure("the ceiling, and the bandwidth of memory", limits)]
    report(found, options.json)
    return found


if __name__ == "__main__":
    main()
