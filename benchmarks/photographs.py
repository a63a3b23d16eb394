"""Table 2 on photographs that people looked at: does the augmentation help where data are few?

    python benchmarks/photographs.py --data OSIE --tune               # learning rates, on the tuning photographs
    python benchmarks/photographs.py --data OSIE --seeds 16           # all trials; several processes share them
    python benchmarks/photographs.py --data OSIE --seeds 16 --table   # table and figure of the finished trials
    python benchmarks/photographs.py --data OSIE --smoke --parts 4 2 2 0

The plan was written before the trials were run: ``benchmarks/table2/photograph_plan.md``. The encoder is pretrained on
ImageNet and FROZEN; only a small head is trained. ``--runs`` keeps edits, features and trials: a second run does not
repeat what is finished. Start one process first, and others once it trains.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from table2.encoders import find_weights
from table2.frozen import HeadRecipe
from table2.grid import Trials, keep_settings
from table2.paired import METRICS, Comparison, compare
from table2.photograph_data import Preparation
from table2.photograph_report import draw_figure, print_table
from table2.photograph_trial import run_photograph_trial
from table2.photograph_variants import PHOTOGRAPH_GRID, WITHOUT, PhotographVariant, find_variant
from table2.photographs import Parts

from augsal_transforms.progress import Quiet, progress_bar

RATES = (3e-3, 1e-2, 3e-2)  # learning rates that are tried
LEARNING_RATES = {50: 3e-3, 100: 3e-2, 300: 1e-2}  # the best ones on the tuning photographs, by training photographs
TUNING_SEEDS = range(1000, 1002)


def prepare(options: argparse.Namespace) -> Preparation:
    """The preparation of the data, and the settings that the folder must have been made with."""
    weights = find_weights(options.encoder)
    print(f"frozen encoder: {weights.name} from {weights.source}", flush=True)
    parts = Parts(**dict(zip(vars(Parts()), options.parts, strict=True))) if options.parts else Parts()
    names = {"editor": options.editor, "predictor": options.predictor}
    keep_settings(options.runs, {**names, **asdict(parts), **weights.settings})
    return Preparation(folder=options.runs, data=options.data, parts=parts, weights=weights, **names)


def tune(preparation: Preparation, options: argparse.Namespace) -> None:
    """Print how well *without* does on the tuning photographs at each learning rate."""
    photographs, training = preparation.photographs("tuning"), preparation.photographs("training")
    data = preparation.training(training, set(), mirrored=False, pairs=False)
    measured = photographs, preparation.features("tuning", lambda: photographs.images)
    for size in options.sizes:
        for rate in RATES:
            recipe = HeadRecipe(steps=options.steps, learning_rate=rate)
            scores = [run_photograph_trial(WITHOUT, seed, data, size, measured, recipe) for seed in TUNING_SEEDS]
            means = {metric: sum(one[metric] for one in scores) / len(scores) for metric in METRICS}
            print(f"{size} photographs, {rate:g}: " + ", ".join(f"{m} {x:.4f}" for m, x in means.items()), flush=True)


def trials_of(size: int, options: argparse.Namespace) -> tuple[Trials, HeadRecipe]:
    """The trials of a number of training photographs, and their recipe."""
    rate = options.learning_rate or LEARNING_RATES.get(size)
    if rate is None:
        raise SystemExit(f"No learning rate is known for {size} photographs. Give one: --learning-rate.")
    recipe = HeadRecipe(steps=options.steps, learning_rate=rate)
    return Trials(options.runs / f"trials-{size}", {"photographs": size, **asdict(recipe)}), recipe


def train(preparation: Preparation, variants: list[PhotographVariant], options: argparse.Namespace) -> None:
    """Run the trials that are not finished, variant by variant in every size: the first variants are done first."""
    grids = {size: trials_of(size, options) for size in options.sizes}
    missing = {size: trials.missing(variants, range(options.seeds)) for size, (trials, _) in grids.items()}
    wanted = [variant for variant in variants if any(variant is one for of in missing.values() for one, _ in of)]
    if not wanted:
        return
    sources = {variant.source for variant in wanted if variant.uses_edits}
    flipped = any(variant.mirrored and variant.uses_edits for variant in wanted)
    pairs = any(variant.uses_maps for variant in wanted)
    data = preparation.training(preparation.photographs("training"), sources, flipped, pairs)
    proof = preparation.photographs("proof")
    measured = proof, preparation.features("proof", lambda: proof.images)
    with progress_bar(total=sum(map(len, missing.values())), desc="trials") as bar:
        for variant in wanted:
            for size, (trials, recipe) in grids.items():
                run = partial(run_photograph_trial, data=data, size=size, measured=measured, recipe=recipe)
                trials.fill([trial for trial in missing[size] if trial[0] is variant], run, bar.update)


def report(variants: list[PhotographVariant], options: argparse.Namespace) -> None:
    """Print the table of the variants of which all seeds are finished, and draw their figure."""
    seeds, rows = set(range(options.seeds)), dict[int, dict[str, dict[str, Comparison]]]()
    for size in options.sizes:
        trials, _ = trials_of(size, options)
        pairs = {v.name: (trials.read(v), trials.read(find_variant(v.compared_with))) for v in variants}
        finished = {name: pair for name, pair in pairs.items() if all(seeds <= scores.keys() for scores in pair)}
        rows[size] = {name: compare(*pair) for name, pair in finished.items()}
    if not any(rows.values()):
        print("No variant is finished together with the one that it is compared with. Run without --table first.")
        return
    print_table(rows)
    draw_figure(rows, options.runs / "photographs.png")
    print(f"figure: {options.runs / 'photographs.png'}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs with fixations, as OSIE")
    parser.add_argument("--encoder", type=Path, help="file of an encoder pretrained on ImageNet; found if not given")
    parser.add_argument("--editor", default="bundled", help="bundled, sd-v1-5, a folder or a hub id")
    parser.add_argument("--predictor", default="photographs", help="predictor of gated edits and annotation pairs")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(LEARNING_RATES), help="photographs to train on")
    parser.add_argument("--seeds", type=int, default=16, help="number of trainings of each variant and size")
    names = [variant.name for variant in PHOTOGRAPH_GRID]
    parser.add_argument("--variants", default=",".join(names), help="names of variants, separated by commas")
    parser.add_argument("--steps", type=int, default=HeadRecipe.steps, help="number of optimiser steps")
    parser.add_argument("--learning-rate", type=float, help="largest learning rate; the tuned one if not given")
    parser.add_argument("--parts", type=int, nargs=4, help="photographs to train on, tune, prove, and for the judges")
    parser.add_argument("--runs", type=Path, default=Path("runs/photographs"), help="folder of everything that is made")
    parser.add_argument("--tune", action="store_true", help="try the learning rates, and train nothing else")
    parser.add_argument("--table", action="store_true", help="report the finished trials, and train nothing")
    parser.add_argument("--smoke", action="store_true", help="two seeds and two steps on four photographs")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.sizes, options.seeds, options.steps, options.learning_rate = [4], 2, 2, 1e-2
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    variants = [find_variant(name.strip()) for name in options.variants.split(",")]
    variants = variants if WITHOUT in variants else [WITHOUT, *variants]
    if options.tune:
        tune(prepare(options), options)
        return
    if not options.table:
        train(prepare(options), variants, options)
    report(variants, options)


if __name__ == "__main__":
    main()
