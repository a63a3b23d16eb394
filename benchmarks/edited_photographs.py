"""Does training with edits help on edited photographs? Steadiness outside the region, and direction inside it.

    python benchmarks/judges.py --data OSIE --out runs/judges
    python benchmarks/edited_photographs.py --data OSIE --judges runs/judges/imagenet runs/judges/classical

Nobody looked at the edited photographs, so judges of people's gaze stand for people; they were trained on photographs
that nothing here is trained or measured on. Parts, network and recipe are those of ``photographs.py``, and so is what
``--runs`` keeps. Every photograph of the part has one edit of each kind.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import photographs
from judges import load_judge
from table2.edited_photographs import EditedPhotographs, open_edited_photographs
from table2.frozen import HeadRecipe
from table2.grid import Trials
from table2.photograph_trial import TrainingFeatures, train_photographs
from table2.photograph_variants import WITHOUT, PhotographVariant

from augsal_transforms.gaze_study.statistics import mean_change, paired_t
from augsal_transforms.progress import Quiet, progress_bar

VARIANTS = (
    WITHOUT,
    PhotographVariant(name="with"),
    PhotographVariant(name="annotation pairs", pairs=True),
    PhotographVariant(name="change", editing_weight=0.0, change_weight=1.0),
)
FIGURES = {"cc": "CC unedited", "moved": "moved outside", "correlation": "correlation", "right": "right direction"}
Scores = Mapping[int, Mapping[str, float]]


def print_table(finished: Mapping[str, Scores]) -> None:
    """Print the means of the baseline, then differences with 95 % intervals and p of the paired t-test over seeds."""
    baseline = finished[WITHOUT.name]
    names = list(next(iter(baseline.values())))
    heads = [" ".join([FIGURES[name.partition("_")[0]], *name.split("_")[1:]]) for name in names]
    print(f"| | seeds | {' | '.join(heads)} |\n|---|---|{'---|' * len(names)}")
    for variant, scores in finished.items():
        seeds = sorted(scores.keys() & baseline.keys())
        if variant == WITHOUT.name:
            cells = [f"{sum(baseline[seed][name] for seed in seeds) / len(seeds):.4f}" for name in names]
        else:
            cells = [_difference([scores[seed][name] - baseline[seed][name] for seed in seeds]) for name in names]
        print(f"| {variant} | {len(seeds)} | {' | '.join(cells)} |")


def _difference(differences: list[float]) -> str:
    change = mean_change(differences)
    return f"{change.mean:+.4f} ± {change.ci95:.4f}, p = {paired_t(differences)[1]:.2g}"


def run(
    variant: PhotographVariant, seed: int, data: TrainingFeatures, measured: EditedPhotographs, recipe: HeadRecipe
) -> dict[str, float]:
    """Train a head on all training photographs and measure it."""
    return measured.score(train_photographs(variant, seed, data, len(data.saliency_maps), recipe))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs with fixations, as OSIE")
    parser.add_argument("--judges", type=Path, nargs="+", required=True, help="folders of judges")
    parser.add_argument("--part", choices=("tuning", "proof"), default="proof", help="photographs to measure on")
    parser.add_argument("--encoder", type=Path, help="file of an encoder pretrained on ImageNet; found if not given")
    parser.add_argument("--editor", default="bundled", help="bundled, sd-v1-5, a folder or a hub id")
    parser.add_argument("--predictor", default="photographs", help="predictor of the maps of edited images")
    parser.add_argument("--seeds", type=int, default=16, help="number of trainings of each variant")
    parser.add_argument("--steps", type=int, default=HeadRecipe.steps, help="number of optimiser steps")
    parser.add_argument("--parts", type=int, nargs=4, help="photographs to train on, tune, prove, and for the judges")
    parser.add_argument("--runs", type=Path, default=Path("runs/photographs"), help="folder of everything that is made")
    parser.add_argument("--quiet", action=Quiet)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    preparation = photographs.prepare(options)
    recipe = HeadRecipe(steps=options.steps, learning_rate=photographs.LEARNING_RATES[300])
    trials = Trials(options.runs / f"edited-{options.part}", {"part": options.part, **vars(recipe)})
    missing = [trial for seed in range(options.seeds) for trial in trials.missing(VARIANTS, [seed])]  # seed by seed
    if missing:
        training = preparation.photographs("training")
        data = preparation.training(training, {"editor"}, mirrored=False, pairs=True)
        judges = {folder.name: load_judge(folder, options.encoder) for folder in options.judges}
        measured = open_edited_photographs(preparation, options.part, judges)
        with progress_bar(total=len(missing), desc="trials") as bar:
            trials.fill(missing, partial(run, data=data, measured=measured, recipe=recipe), bar.update)
    print_table({variant.name: trials.read(variant) for variant in VARIANTS})


if __name__ == "__main__":
    main()
