"""Does the augmentation help, and which part of it? Train on scenes with and without it, from several seeds.

    python benchmarks/ablation.py --variants without,with --seeds 6   # tuning scenes, tuning seeds
    python benchmarks/ablation.py --series proof --seeds 8            # scenes and seeds that nothing was tuned on
    python benchmarks/ablation.py --series proof --table              # the table of the finished trials
    python benchmarks/ablation.py --smoke                             # a short run of everything

The compact UNISAL-style network (``examples/compact_unisal.py``) is trained on few scenes and measured on held-out
scenes. Its encoder is pretrained to name objects. All variants of a seed start from the same weights and train on the
same batches for the same number of steps. Each trial is one JSON file: a second run, or several at the same time, do
not repeat what is finished. The table is printed; a figure is drawn into the folder of the trials.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from observer_maps import other_viewers, true_maps
from table2.compact_models import CompactUnisal
from table2.grid import Trials
from table2.paired import METRICS, Comparison, compare
from table2.preparation import fill_store, measure_budget, write_once
from table2.pretraining import Pretraining, pretrained
from table2.training_set import Alternatives, HeldOut, TrainingSet
from table2.trial import PRESET, Recipe, run_trial
from table2.variants import GRID, WITHOUT, Variant, find_variants

from augsal_transforms import EditConfig, SaliencyEditor
from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.diffusion.calibration import Calibration
from augsal_transforms.metrics import definitions
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.scenes.writer import write_scenes


@dataclass(frozen=True)
class Series:
    """Series of the training scenes, series of the held-out scenes, and the first training seed."""

    training: int
    held_out: int
    first_seed: int


SERIES = {"tuning": Series(601, 602, 0), "proof": Series(711, 712, 200)}
HELD_OUT_START = 100_000  # a scene's index seeds its viewers; no two scenes of a comparison share an index


def scenes_of(series: Series, options: argparse.Namespace) -> tuple[Path, Path]:
    """Write the training scenes and the held-out scenes, and return their folders."""
    # Two folders of "train", each the series of its own seed: the published figures were measured on these.
    train = partial(write_scenes, count=options.scenes, split="train", seed=series.training)
    held_out = partial(write_scenes, count=options.held_out, split="train", seed=series.held_out, start=HELD_OUT_START)
    folder = options.runs / options.series
    return write_once(folder / "training", train), write_once(folder / "held_out", held_out)


def open_editor(name: str) -> SaliencyEditor:
    """Open the bundled editor as ``"default"``, ``"unscaled"`` (no γ) or ``"unbounded"`` (no two-sigma rule)."""
    editor = SaliencyEditor.from_pretrained("bundled")
    if name == "unbounded":
        return replace(editor, config=EditConfig(max_std=math.inf))
    if name == "unscaled":
        # Eqs. 1 and 2 as printed: one unit of RGB counts as one unit of each latent channel. Shifts of RGB in [0, 1]
        # are doubled before they are multiplied by A⁺, and γ is the sum of its three rows: 1/6 per entry makes γ 1/2.
        calibration = {**vars(editor.calibration), "pseudo_inverse": torch.full((3, 4), 1 / 6)}
        return replace(editor, config=EditConfig(pivot="mean"), calibration=Calibration(**calibration))
    return editor


def open_training_set(
    data: SaliencyFolder, variants: list[Variant], series: int, size: int, folder: Path
) -> TrainingSet:
    """Read the images with the edits and the alternatives that these variants need."""
    augmentations = {variant.augmentation for variant in variants}
    wanted = {variant.store for variant in variants if variant.uses_edits or variant.augmentation == "true maps"}
    stores = {name: fill_store(folder / f"edits_{name}", data, partial(open_editor, name)) for name in sorted(wanted)}
    alternatives = dict[str, Alternatives]()
    if "true maps" in augmentations:
        alternatives["true maps"] = true_maps(data, series, stores["default"], size)
    if "other viewers" in augmentations:
        alternatives["other viewers"] = other_viewers(data, series, size)
    return TrainingSet(data, size, stores, alternatives)


def print_table(rows: dict[str, dict[str, Comparison]]) -> None:
    """Print mean ± standard error, and the difference to the baseline with its corrected p-value."""
    print(f"| variant | seeds | {' | '.join(f'{m} {_arrow(m)}' for m in METRICS)} |\n|---|---|{'---|' * len(METRICS)}")
    for name, comparisons in rows.items():
        texts = [c.mean_text() if name == WITHOUT.name else str(c) for c in comparisons.values()]
        print(f"| {name} | {comparisons['cc'].seeds} | {' | '.join(texts)} |")
    for metric in METRICS:
        print(f"{metric}: {definitions(PRESET)[metric]}")


def _arrow(metric: str) -> str:
    return "↑" if METRICS[metric].higher_is_better else "↓"


def draw_figure(rows: dict[str, dict[str, Comparison]], path: Path) -> None:
    """Draw the differences to the baseline with 95 % intervals over seeds; better is to the right for every metric."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = [name for name in rows if name != WITHOUT.name]
    figure, axes = pyplot.subplots(1, len(METRICS), sharey=True, figsize=(13, 1.2 + 0.3 * len(names)), squeeze=False)
    for axis, metric in zip(axes[0], METRICS, strict=True):
        sign = 1 if METRICS[metric].higher_is_better else -1
        of_metric = [rows[name][metric] for name in names]
        ci95 = [c.ci95 if c.seeds > 1 else 0 for c in of_metric]
        differences = [sign * c.difference for c in of_metric]
        axis.errorbar(differences, names, xerr=ci95, fmt="o", color="#0072B2", markersize=4, capsize=2)
        axis.axvline(0, color="0.6", linewidth=1)
        axis.locator_params(axis="x", nbins=4)
        axis.set_title(metric if sign > 0 else f"{metric}, sign reversed", fontsize=9)
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)  # the first on top
    figure.supxlabel(
        f"difference to {WITHOUT.name!r}; right of the line is better (bars: 95 % intervals over seeds)", fontsize=9
    )
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def report(trials: Trials, variants: list[Variant]) -> None:
    """Print the table and draw the figure of the finished trials."""
    baseline = trials.read(WITHOUT)
    finished = {variant.name: trials.read(variant) for variant in variants}
    rows = {name: compare(scores, baseline) for name, scores in finished.items() if scores.keys() & baseline.keys()}
    if not rows:
        print(
            f"No trial of {WITHOUT.name!r} is finished, so there is nothing to compare with. Run without --table first."
        )
        return
    print_table(rows)
    draw_figure(rows, trials.folder / "ablation.png")
    print(f"figure: {trials.folder / 'ablation.png'}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", choices=SERIES, default="tuning", help="series of scenes, with their seeds")
    parser.add_argument("--seeds", type=int, default=8, help="number of trainings of each variant")
    parser.add_argument(
        "--variants", default=",".join(variant.name for variant in GRID), help="names of variants, separated by commas"
    )
    parser.add_argument("--scenes", type=int, default=200, help="number of scenes to train on")
    parser.add_argument("--held-out", type=int, default=500, help="number of scenes to measure on")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="number of optimiser steps")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="folder of scenes, edits and trials")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="device to train on")
    parser.add_argument("--table", action="store_true", help="report the finished trials, and train nothing")
    parser.add_argument(
        "--smoke", action="store_true", help="run everything once, in about a minute, at sizes that mean nothing"
    )
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.seeds, options.scenes, options.held_out, options.steps = 2, 4, 4, 2
        options.variants = "without,with,rotation"
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    series, recipe = SERIES[options.series], Recipe(steps=options.steps)
    pretraining = Pretraining(scenes=8, steps=2) if options.smoke else Pretraining()
    variants = find_variants([WITHOUT.name, *(name.strip() for name in options.variants.split(","))])
    sizes = {"scenes": options.scenes, "held_out": options.held_out}
    settings = {**sizes, **asdict(series), **asdict(recipe), "encoder": asdict(pretraining)}
    trials = Trials(options.runs / options.series / "trials", settings)
    missing = trials.missing(variants, range(series.first_seed, series.first_seed + options.seeds))
    if missing and not options.table:
        training, held_out = scenes_of(series, options)
        wanted = [variant for variant, _ in missing]
        folder = options.runs / options.series
        training_set = open_training_set(SaliencyFolder(training), wanted, series.training, recipe.size, folder)
        measured = HeldOut.read(FixatedFolder(held_out, "train"), recipe.size)
        encoder = options.runs / f"encoder-{pretraining.scenes}-{pretraining.steps}.safetensors"
        bar = partial(progress_bar, desc="encoder")
        build = pretrained(CompactUnisal, encoder, pretraining, options.device, bar)
        run = partial(
            run_trial, build, training_set=training_set, held_out=measured, recipe=recipe, device=options.device
        )
        print(measure_budget(missing, run, recipe), flush=True)
        with progress_bar(total=len(missing)) as bar:
            trials.fill(missing, run, bar.update)
    report(trials, variants)


if __name__ == "__main__":
    main()
