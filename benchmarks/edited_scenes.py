"""Does training with edits help on edited scenes? Metrics, and the change of gaze that an edit makes.

    python benchmarks/edited_scenes.py --tuning    # trains and measures on two parts of the training scenes
    python benchmarks/edited_scenes.py             # the proof: other scenes and other seeds
    python benchmarks/edited_scenes.py --table     # the table of the finished trials
    python benchmarks/edited_scenes.py --smoke     # a short run of everything, at sizes that mean nothing

The encoder (EfficientNet-Lite0, pretrained on ImageNet) is frozen, and a small network on its features is trained. The
true maps of edited scenes are the synthetic observer's. All variants of a seed start from the same weights and see the
same scenes and edits. Each trial is one JSON file: a second run does not repeat what is finished.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from table2.edited_set import EditedSet, keep_edited_set, read_edited_set
from table2.edited_trial import EditedScenes, Recipe, Variant
from table2.encoders import find_weights
from table2.grid import Trials
from table2.preparation import fill_store, write_once

from augsal_transforms import SaliencyEditor, SaliencyPredictor
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.gaze_study.statistics import mean_change, paired_t
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.readouts.gaze_network import Encoder
from augsal_transforms.scenes.writer import write_scenes

WITHOUT = Variant(name="without", loss="none")
VARIANTS = (
    WITHOUT,
    Variant(name="change", loss="change"),
    Variant(name="with", loss="bce", weight=0.1),
    Variant(name="change, true maps", loss="change", source="observer"),
    Variant(name="edits with true maps", loss="map"),
    Variant(name="edits as plain images", loss="same map"),
    Variant(name="rank", loss="rank", weight=0.1),
    Variant(name="Eq. 7, weight 3", loss="bce", weight=3.0),
    Variant(name="change, weight 0.3", loss="change", weight=0.3),
    Variant(name="change, weight 3", loss="change", weight=3.0),
)
PLANNED = ("without", "change", "with", "change, true maps")
FIGURES = {
    "cc": "CC unedited",
    "cc_edited": "CC edited",
    "correlation": "correlation",
    "right": "right direction",
    "error": "error",
    "size": "size",
}


@dataclass(frozen=True)
class Part:
    """A set of scenes: its name, its series and the index of its first scene."""

    name: str
    series: int
    start: int


TRAINING, HELD_OUT = Part("training", 612, 100_000), Part("held_out", 611, 0)
FIRST_SEED = {"tuning": 0, "proof": 300}


def open_part(part: Part, scenes: int, options: argparse.Namespace) -> EditedSet:
    """Write the scenes of a part, edit them, and compute what the trainings need."""

    def read() -> EditedSet:
        folder = options.runs / f"{part.name}-{scenes}"
        write = partial(write_scenes, count=scenes, seed=part.series, start=part.start)
        data = SaliencyFolder(write_once(folder / "scenes", write))
        store = fill_store(folder / "edits", data, partial(SaliencyEditor.from_pretrained, "bundled"))
        encoder = Encoder().eval()
        if not options.smoke:
            encoder.load_published(find_weights(options.encoder).weights)
        predictor = SaliencyPredictor.from_pretrained("bundled") if part == TRAINING else None
        return read_edited_set(data, store, part.series, part.start, encoder, predictor)

    return keep_edited_set(options.runs / f"{part.name}-{scenes}.safetensors", read)


def open_sets(options: argparse.Namespace) -> tuple[EditedSet, EditedSet]:
    """The scenes to train on and those to measure on; in tuning both are parts of the training scenes."""
    training = open_part(TRAINING, options.scenes, options)
    if options.tuning:
        first = options.scenes * 11 // 16
        return training.part(0, first), training.part(first, options.scenes)
    return training, open_part(HELD_OUT, options.held_out, options)


Scores = Mapping[int, Mapping[str, float]]


def print_table(finished: dict[str, Scores]) -> None:
    """Print the means of the baseline, then differences with 95 % intervals and p of the paired t-test over seeds."""
    baseline = finished[WITHOUT.name]
    print(f"| | seeds | {' | '.join(FIGURES.values())} |\n|---|---|{'---|' * len(FIGURES)}")
    means = [statistics.fmean(scores[name] for scores in baseline.values()) for name in FIGURES]
    print(f"| {WITHOUT.name} | {len(baseline)} | {' | '.join(f'{mean:.4f}' for mean in means)} |")
    for variant, scores in finished.items():
        if variant != WITHOUT.name and (shared := sorted(scores.keys() & baseline.keys())):
            texts = [_difference(_differences(scores, baseline, name)) for name in FIGURES]
            print(f"| {variant} | {len(shared)} | {' | '.join(texts)} |")


def _differences(scores: Scores, baseline: Scores, name: str) -> list[float]:
    return [scores[seed][name] - baseline[seed][name] for seed in sorted(scores.keys() & baseline.keys())]


def _difference(differences: list[float]) -> str:
    change = mean_change(differences)
    return f"{change.mean:+.4f} ± {change.ci95:.4f}, p = {paired_t(differences)[1]:.2g}"


def draw_figure(finished: dict[str, Scores], path: Path) -> None:
    """Draw the differences to the baseline with 95 % intervals over seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    baseline = finished[WITHOUT.name]
    names = [name for name, scores in finished.items() if name != WITHOUT.name and scores.keys() & baseline.keys()]
    shown = ("correlation", "right", "error", "cc_edited", "cc")
    figure, axes = pyplot.subplots(1, len(shown), sharey=True, figsize=(12, 1.3 + 0.3 * len(names)))
    for axis, metric in zip(axes, shown, strict=True):
        changes = [mean_change(_differences(finished[name], baseline, metric)) for name in names]
        ci95 = [change.ci95 if change.images > 1 else 0 for change in changes]
        axis.errorbar([c.mean for c in changes], names, xerr=ci95, fmt="o", color="#0072b2", markersize=4, capsize=2)
        axis.axvline(0, color="0.6", linewidth=1)
        axis.locator_params(axis="x", nbins=4)
        axis.set_title(f"{FIGURES[metric]}\n({'less' if metric == 'error' else 'more'} is better)", fontsize=9)
        axis.tick_params(labelsize=8)
    axes[0].set_ylim(len(names) - 0.5, -0.5)  # the first on top
    figure.supxlabel(f"difference to {WITHOUT.name!r}, mean over seeds with 95 % interval", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuning", action="store_true", help="measure on a part of the training scenes")
    parser.add_argument("--seeds", type=int, default=16, help="number of trainings of each variant")
    parser.add_argument("--variants", default=";".join(PLANNED), help="names of variants, separated by semicolons")
    parser.add_argument("--scenes", type=int, default=80, help="number of scenes to train on")
    parser.add_argument("--held-out", type=int, default=80, help="number of scenes to measure on")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="number of optimiser steps")
    parser.add_argument("--encoder", type=Path, help="file of EfficientNet-Lite0's weights; default: the package's")
    parser.add_argument("--runs", type=Path, default=Path("runs/edited"), help="folder of scenes, edits and trials")
    parser.add_argument("--table", action="store_true", help="report the finished trials, and train nothing")
    parser.add_argument("--smoke", action="store_true", help="run everything once, with an encoder of random weights")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.seeds, options.scenes, options.held_out, options.steps = 2, 1, 1, 2
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    known = {variant.name: variant for variant in VARIANTS}
    asked = [name.strip() for name in options.variants.split(";")]
    if unknown := [name for name in asked if name not in known]:
        raise SystemExit(f"There is no variant {unknown[0]!r}; the variants are {', '.join(map(repr, known))}.")
    variants = [known[name] for name in dict.fromkeys([WITHOUT.name, *asked])]
    recipe, phase = Recipe(steps=options.steps), "tuning" if options.tuning else "proof"
    settings = {"scenes": options.scenes, "held_out": options.held_out, **asdict(recipe)}
    trials = Trials(options.runs / phase, settings)
    seeds = range(FIRST_SEED[phase], FIRST_SEED[phase] + options.seeds)
    missing = [trial for seed in seeds for trial in trials.missing(variants, [seed])]  # seed by seed
    if missing and not options.table:
        training, measured = map(EditedScenes, open_sets(options))
        with progress_bar(total=len(missing)) as bar:
            trials.fill(
                missing, lambda variant, seed: measured.score(training.train(variant, seed, recipe)), bar.update
            )
    finished = {variant.name: trials.read(variant) for variant in variants}
    if not finished[WITHOUT.name]:
        raise SystemExit(f"No trial of {WITHOUT.name!r} is finished. Run without --table first.")
    print_table(finished)
    draw_figure(finished, trials.folder / "edited_scenes.png")
    print(f"figure: {trials.folder / 'edited_scenes.png'}")


if __name__ == "__main__":
    main()
