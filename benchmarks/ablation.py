"""Does the augmentation help, and what of it? Trainings on scenes, with and without, over seeds.

    python benchmarks/ablation.py --cells without,with --seeds 6      # tuning scenes, tuning seeds
    python benchmarks/ablation.py --series proof --seeds 8            # scenes and seeds never tuned on
    python benchmarks/ablation.py --series proof --table              # the table of what is finished
    python benchmarks/ablation.py --smoke

Trains the compact UNISAL-style network (``examples/compact_unisal.py``), its encoder pretrained to name objects, on few
scenes, each cell from the same first weights on the same batches for as many optimiser steps, and measures on held-out
scenes. One JSON a trial; run it again, or beside itself, and nothing finished is repeated. Prints a table and draws a
figure beside the trials.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from observer_maps import other_viewers, true_maps
from table2.grid import Trials
from table2.paired import METRICS, Comparison, compare
from table2.pool import Alternatives, HeldOut, TrainingPool
from table2.preparation import fill_store, measure_budget, write_once
from table2.pretraining import Pretraining, pretrained
from table2.trial import PRESET, Recipe, run_trial
from table2.variants import GRID, WITHOUT, Cell, find_cells
from tqdm import tqdm

from augsal_transforms import EditConfig, SaliencyEditor
from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.diffusion.calibration import Calibration
from augsal_transforms.metrics import definitions
from augsal_transforms.scenes.writer import write_scenes

sys.path.append(str(Path(__file__).parent.parent / "examples"))
from compact_unisal import CompactUnisal


@dataclass(frozen=True)
class Series:
    """Scenes to train on, scenes to measure on, and the first training seed."""

    training: int
    held_out: int
    first_seed: int


SERIES = {"tuning": Series(601, 602, 0), "proof": Series(711, 712, 200)}
HELD_OUT_START = 100_000  # a scene's index seeds its viewers: no two scenes of a comparison share them


def scenes_of(series: Series, options: argparse.Namespace) -> tuple[Path, Path]:
    """The folders of scenes to train and to measure on."""
    # Two folders of "train", each the series of its own seed: the published figures were measured on these.
    train = partial(write_scenes, count=options.scenes, split="train", seed=series.training)
    held_out = partial(write_scenes, count=options.held_out, split="train", seed=series.held_out, start=HELD_OUT_START)
    place = options.runs / options.series
    return write_once(place / "training", train), write_once(place / "held_out", held_out)


def open_editor(name: str) -> SaliencyEditor:
    """The bundled editor as it is, without γ, or without the two-sigma rule."""
    editor = SaliencyEditor.from_pretrained("bundled")
    if name == "unbounded":
        return replace(editor, config=EditConfig(max_std=math.inf))
    if name == "unscaled":
        # Eqs. 1 and 2 as printed: one unit of RGB is taken for one unit of each latent channel. Shifts of RGB in
        # [0, 1] are doubled before A⁺, and γ is the sum of its three rows, hence 1/6.
        calibration = {**vars(editor.calibration), "pseudo_inverse": torch.full((3, 4), 1 / 6)}
        return replace(editor, config=EditConfig(pivot="mean"), calibration=Calibration(**calibration))
    return editor


def open_pool(data: SaliencyFolder, cells: list[Cell], series: int, size: int, place: Path) -> TrainingPool:
    """Images with what these cells do to them."""
    augmentations = {cell.augmentation for cell in cells}
    wanted = {cell.store for cell in cells if cell.uses_edits or cell.augmentation == "true maps"}
    stores = {name: fill_store(place / f"edits_{name}", data, partial(open_editor, name)) for name in sorted(wanted)}
    alternatives = dict[str, Alternatives]()
    if "true maps" in augmentations:
        alternatives["true maps"] = true_maps(data, series, stores["default"], size)
    if "other viewers" in augmentations:
        alternatives["other viewers"] = other_viewers(data, series, size)
    return TrainingPool(data, size, stores, alternatives)


def print_table(rows: dict[str, dict[str, Comparison]]) -> None:
    """Mean ± standard error, then the difference to the baseline with its corrected p-value."""
    print(f"| cell | seeds | {' | '.join(f'{m} {_arrow(m)}' for m in METRICS)} |\n|---|---|{'---|' * len(METRICS)}")
    for name, comparisons in rows.items():
        texts = [c.level() if name == WITHOUT.name else str(c) for c in comparisons.values()]
        print(f"| {name} | {comparisons['cc'].seeds} | {' | '.join(texts)} |")
    for metric in METRICS:
        print(f"{metric}: {definitions(PRESET)[metric]}")


def _arrow(metric: str) -> str:
    return "↑" if METRICS[metric].higher_is_better else "↓"


def draw_figure(rows: dict[str, dict[str, Comparison]], path: Path) -> None:
    """Differences to the baseline, turned so that better is right, with 95 % intervals over seeds."""
    import matplotlib as mpl
    from scipy.stats import t as student

    mpl.use("Agg")
    from matplotlib import pyplot

    names = [name for name in rows if name != WITHOUT.name]
    figure, axes = pyplot.subplots(1, len(METRICS), sharey=True, figsize=(13, 1.2 + 0.3 * len(names)), squeeze=False)
    for axis, metric in zip(axes[0], METRICS, strict=True):
        sign = 1 if METRICS[metric].higher_is_better else -1
        of_metric = [rows[name][metric] for name in names]
        reach = [c.difference_error * student.ppf(0.975, c.seeds - 1) if c.seeds > 1 else 0 for c in of_metric]
        axis.errorbar([sign * c.difference for c in of_metric], names, xerr=reach, fmt="o", markersize=4, capsize=2)
        axis.axvline(0, color="0.6", linewidth=1)
        axis.locator_params(axis="x", nbins=4)
        axis.set_title(f"{metric}, {'more' if sign > 0 else 'less'} is better", fontsize=9)
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)  # the first on top
    figure.supxlabel(f"better than {WITHOUT.name!r} by", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def report(trials: Trials, cells: list[Cell]) -> None:
    """Table and figure of the finished trials."""
    baseline = trials.read(WITHOUT)
    finished = {cell.name: trials.read(cell) for cell in cells}
    rows = {name: compare(scores, baseline) for name, scores in finished.items() if scores.keys() & baseline.keys()}
    if not rows:
        print(f"No trial of {WITHOUT.name!r} is finished: there is nothing to compare with.")
        return
    print_table(rows)
    draw_figure(rows, trials.folder / "ablation.png")
    print(f"figure: {trials.folder / 'ablation.png'}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", choices=SERIES, default="tuning", help="which scenes and seeds")
    parser.add_argument("--seeds", type=int, default=8, help="trainings of each cell")
    parser.add_argument("--cells", default=",".join(cell.name for cell in GRID), help="names, separated by commas")
    parser.add_argument("--scenes", type=int, default=200, help="to train on")
    parser.add_argument("--held-out", type=int, default=500, help="scenes to measure on")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="of the optimiser, for every cell")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="where scenes, edits and trials are")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--table", action="store_true", help="only report what is finished")
    parser.add_argument("--smoke", action="store_true", help="everything once, in a minute")
    options = parser.parse_args()
    if options.smoke:
        options.seeds, options.scenes, options.held_out, options.steps = 2, 4, 4, 2
        options.cells = "without,with,rotation"
    return options


def main() -> None:
    options = parse()
    series, recipe = SERIES[options.series], Recipe(steps=options.steps)
    pretraining = Pretraining(scenes=8, steps=2) if options.smoke else Pretraining()
    cells = find_cells([WITHOUT.name, *(name.strip() for name in options.cells.split(","))])
    sizes = {"scenes": options.scenes, "held_out": options.held_out}
    settings = {**sizes, **asdict(series), **asdict(recipe), "encoder": asdict(pretraining)}
    trials = Trials(options.runs / options.series / "trials", settings)
    missing = trials.missing(cells, range(series.first_seed, series.first_seed + options.seeds))
    if missing and not options.table:
        training, held_out = scenes_of(series, options)
        wanted = [cell for cell, _ in missing]
        place = options.runs / options.series
        pool = open_pool(SaliencyFolder(training), wanted, series.training, recipe.size, place)
        measured = HeldOut.read(FixatedFolder(held_out, "train"), recipe.size)
        encoder = options.runs / f"encoder-{pretraining.scenes}-{pretraining.steps}.safetensors"
        bar = partial(tqdm, desc="encoder", disable=None)
        build = pretrained(CompactUnisal, encoder, pretraining, options.device, bar)
        run = partial(run_trial, build, pool=pool, held_out=measured, recipe=recipe, device=options.device)
        print(measure_budget(missing, run, recipe), flush=True)
        with tqdm(total=len(missing), disable=None) as bar:
            trials.fill(missing, run, bar.update)
    report(trials, cells)


if __name__ == "__main__":
    main()
