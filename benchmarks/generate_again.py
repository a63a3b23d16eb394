"""Measure `augsal generate` a second time, over images that are finished.

    python benchmarks/generate_again.py [--images 1000 5000 10000] [--size 640 480] [--json FILE]

Rendered scenes are written as JPEG images with maps, each image with marks of its own. Every image gets
three records, made from one edit under keys of their own, so that a store of 10,000 images takes minutes, not hours.
Then whole further runs are measured, three over each set; the median counts. The smallest set is measured once more
with its pixels read. Times include the opening of the data set, and not the import of libraries and the loading of the
editor.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from figures import Figure, report
from PIL import Image

from augsal_transforms import EditStore, SaliencyEditor
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.generate.generation import Generation
from augsal_transforms.generate.jobs import Job
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.scenes.observer import observe
from augsal_transforms.scenes.scenes import render_scene

SCENES = 8
BAR, BAR_GROWTH = 60.0, 1.2  # seconds over the largest set; time of an image there against the smallest set


def write_data(folder: Path, count: int, width: int, height: int) -> None:
    """Write images, each with its number in marks at the upper edge, and the maps of their scenes."""
    for kind in ("images", "maps"):
        (folder / kind / "train").mkdir(parents=True)
    scenes = [render_scene(n, seed=610, size=max(width, height)) for n in range(min(SCENES, count))]
    pixels = [(scene.image[:, :height, :width] * 255).byte().movedim(0, -1).numpy() for scene in scenes]
    for n, scene in enumerate(scenes):
        saliency_map = observe(scene.image, scene.objects, seed=n)[0, :height, :width]
        Image.fromarray((saliency_map * 255).byte().numpy()).save(folder / f"map-{n}.png")
    for n in progress_bar(range(count), "image", "scenes"):
        image = pixels[n % len(scenes)].copy()
        for digit in range(5):
            image[:16, 16 * digit : 16 * digit + 16] = n // 10**digit % 10 * 25
        Image.fromarray(image).save(folder / "images" / "train" / f"{n:06d}.jpg", quality=90)
        shutil.copyfile(folder / f"map-{n % len(scenes)}.png", folder / "maps" / "train" / f"{n:06d}.png")


def fill(generation: Generation) -> None:
    """Give every wanted edit of every image a record, with the content of one edit that is made."""
    record = b""
    for _, job in progress_bar(
        generation.jobs(generation.files.names), "image", "records", total=len(generation.files)
    ):
        if isinstance(job, Job):
            if not record:
                (results,) = generation.make([job])
                key = next(iter(job.wanted[0]))
                generation.store.put(key, job.image, results[0])
                record = generation.store.path(key).read_bytes()
            for candidates in job.wanted:
                generation.store.write(next(iter(candidates)), record, source=job.name)
    generation.known.write()


def seconds_again(make: Generation, *, check_pixels: bool) -> float:
    """Measure a run, data set and store opened anew."""
    desc = "again, by pixels" if check_pixels else "again"
    with progress_bar(total=len(make.files), unit="image", desc=desc) as shown:
        started = time.perf_counter()
        files = SaliencyFolder(make.files.folder)
        again = Generation(make.editor, EditStore(make.store.folder), files, check_pixels=check_pixels)
        again.run(files.names, shown.update)
        seconds = time.perf_counter() - started
    if again.counts != {"reused": 3 * len(files)}:
        raise RuntimeError(f"The second run must find all edits, got {dict(again.counts)}.")
    return seconds


def measure(counts: list[int], size: tuple[int, int], place: Path) -> list[Figure]:
    """Measure second runs over each number of images, by files and by pixels."""
    editor, figures, each = SaliencyEditor.from_pretrained("bundled"), list[Figure](), list[float]()
    for count in counts:
        folder = place / str(count)
        write_data(folder / "data", count, *size)
        time.sleep(3)  # files younger than two seconds are always read
        generation = Generation(editor, EditStore(folder / "store"), SaliencyFolder(folder / "data"))
        fill(generation)
        times = [seconds_again(generation, check_pixels=False) for _ in range(3)]
        each.append(statistics.median(times) / count)
        figures.append(Figure(f"seconds again over {count:,} images", f"{statistics.median(times):.1f}"))
        if count == min(counts):
            by_pixels = seconds_again(generation, check_pixels=True)
            figures.append(Figure(f"the same with --check-pixels, {count:,} images", f"{by_pixels:.1f}"))
        shutil.rmtree(folder)
    largest = next(figure for figure in reversed(figures) if figure.name.startswith("seconds"))
    largest.bar, largest.holds = f"≤ {BAR:.0f} s for 10,000", each[-1] * 10_000 <= BAR
    growth = each[-1] / each[0]
    figures.append(Figure("time of an image, largest set against smallest", f"{growth:.2f} ×", f"≤ {BAR_GROWTH} ×"))
    figures[-1].holds = growth <= BAR_GROWTH
    return figures


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 5000, 10_000])
    parser.add_argument("--size", type=int, nargs=2, default=[640, 480], help="width and height")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        figures = measure(options.images, tuple(options.size), Path(place))
    report(figures, options.json)
    return figures


if __name__ == "__main__":
    main()
