"""Measure `evaluate` with several processes against one, on rendered scenes with stored predictions.

    python benchmarks/evaluate_speed.py [--images 40] [--size 800 600] [--workers 2] [--pairs 5] [--json FILE]

Runs with one process and with several alternate, and the median of the ratios is reported. It needs as many idle cores
as workers. Scores must be equal to the bit.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from figures import Figure, report
from PIL import Image

from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.evaluation.evaluate import evaluate
from augsal_transforms.evaluation.models import read_predictions
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.scenes.observer import blur_fixations, fixate, observe
from augsal_transforms.scenes.scenes import render_scene

BAR, SCENES = 1.8, 8


def write_data(folder: Path, count: int, width: int, height: int) -> None:
    """Write images, maps, fixation maps, and as predictions the maps of an observer with another seed."""
    places = {kind: folder / kind / "train" for kind in ("images", "maps", "fixations")}
    for path in (*places.values(), folder / "predictions"):
        path.mkdir(parents=True)
    side = max(width, height)
    scenes = [render_scene(n, seed=620, size=side) for n in range(min(SCENES, count))]
    for n in progress_bar(range(count), "image", "scenes"):
        scene = scenes[n % len(scenes)]
        points = fixate(scene.image, scene.objects, seed=n)
        maps = blur_fixations(points, (side, side)), observe(scene.image, scene.objects, seed=n + count)
        truth, prediction = ((one[0, :height, :width] * 255).byte().numpy() for one in maps)
        image = (scene.image[:, :height, :width] * 255).byte().movedim(0, -1).numpy()
        Image.fromarray(image).save(places["images"] / f"{n:04d}.jpg", quality=90)
        Image.fromarray(truth).save(places["maps"] / f"{n:04d}.png")
        Image.fromarray(prediction).save(folder / "predictions" / f"{n:04d}.png")
        marked = Image.new("L", (width, height))
        for x, y in points.long().tolist():
            if x < width and y < height:
                marked.putpixel((x, y), 255)
        marked.save(places["fixations"] / f"{n:04d}.png")


def measure(folder: Path, workers: int, pairs: int) -> list[Figure]:
    """Measure alternating runs with one process and with several."""
    dataset = FixatedFolder(folder, "train", captions={})
    predict = read_predictions(folder / "predictions", dataset.names)
    seconds, reports = {1: list[float](), workers: list[float]()}, set[str]()
    for number, times in progress_bar(list(seconds.items()) * pairs, "run"):
        started = time.perf_counter()
        reports.add(evaluate(predict, dataset, workers=number).to_json())
        times.append(time.perf_counter() - started)
    ratio = statistics.median(one / several for one, several in zip(*seconds.values(), strict=True))
    rates = {number: len(dataset) / statistics.median(times) for number, times in seconds.items()}
    return [
        *(Figure(f"images a second, {number} workers", f"{rate:.2f}") for number, rate in rates.items()),
        Figure(f"rate with {workers} workers against one", f"{ratio:.2f} ×", f"≥ {BAR} × with 2", ratio >= BAR),
        Figure("different reports", str(len(reports)), "1", len(reports) == 1),
    ]


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--size", type=int, nargs=2, default=[800, 600], help="width and height")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        write_data(Path(place), options.images, *options.size)
        figures = measure(Path(place), options.workers, options.pairs)
    report(figures, options.json)
    return figures


if __name__ == "__main__":
    main()
