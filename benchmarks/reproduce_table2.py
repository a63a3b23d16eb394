"""Tables 1 and 2 of the paper on your data: does training with the augmentation help, and how good is the predictor?

    python benchmarks/reproduce_table2.py --data SALICON --editor sd-v1-5 --device cuda --size 256 --steps 20000
    python benchmarks/reproduce_table2.py --data MIT1003 --unisal PATH --simplenet PATH --size 256
    python benchmarks/reproduce_table2.py          # procedural scenes, bundled editor
    python benchmarks/reproduce_table2.py --smoke  # everything once, in two minutes

Table 2 is computed for compact networks in the style of its four models or, where you name checkouts, for their
networks. One recipe trains all of them, so "with" and "without" differ in the augmentation alone. To train a checkout
by its own loop, use ``examples/train_*_aug.py``. On scenes the encoders of the compact networks are pretrained to name
objects; on other data they start from random weights.

Learning rates: for a compact network, the rate at which training *without* augmentation is best on the tuning scenes,
among 0.0025, 0.005, 0.01 and 0.02 over three seeds; for a checkout, the upstream's own (for UNISAL, which uses SGD, a
guess). Set ``--learning-rate`` for other data.

In a data set without a val split, as MIT1003 and CAT2000, a fifth of the images is held out by name. Edits and trials
are kept in ``--runs``: a second run, or several at the same time, do not repeat what is finished. Images, maps and
edits are kept in memory at ``--size``: SALICON's at 256 px take about 32 GB, 4.6 GB of them for held-out maps and
fixations at their own size.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from table2.checkouts import DeepGaze, SimpleNet, TempSAL, Unisal
from table2.compact_models import CompactDeepGaze, CompactSimpleNet, CompactTempSAL, CompactUnisal
from table2.grid import Trials, keep_settings
from table2.paired import compare
from table2.preparation import fill_store, measure_budget, write_once
from table2.pretraining import Pretraining, pretrained
from table2.training_set import HeldOut, TrainingSet
from table2.trial import Recipe, run_trial
from table2.variants import WITHOUT, find_variants
from torch import nn

from augsal_transforms import SaliencyEditor
from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.data.splits import open_splits
from augsal_transforms.evaluation.evaluate import evaluate
from augsal_transforms.evaluation.models import load_model, run_model
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.scenes.writer import write_scenes


class Model(NamedTuple):
    """Constructor of a network of the comparison, and its largest learning rate."""

    build: Callable[[], nn.Module]
    learning_rate: float


COMPACT = {
    "compact UNISAL": Model(CompactUnisal, 2e-2),
    "compact SimpleNet": Model(CompactSimpleNet, 5e-3),
    "compact DeepGaze IIE": Model(CompactDeepGaze, 1e-2),
    "compact TempSAL": Model(CompactTempSAL, 5e-3),
}
# Option that names the checkout: name in the table, network, largest learning rate.
CHECKOUTS: dict[str, tuple[str, Callable[..., nn.Module], float]] = {
    "unisal": ("UNISAL", Unisal, 1e-3),
    "simplenet": ("SimpleNet", SimpleNet, 1e-4),
    "deepgaze": ("DeepGaze IIE", DeepGaze, 1e-3),
    "tempsal": ("TempSAL", TempSAL, 1e-5),
}

# Table 1, as printed: SALICON's test set of 2017, scored by its server.
COLUMNS = ("AUC", "KL", "NSS", "CC", "sAUC", "SIM")
PUBLISHED = {
    "DINet": (0.863, 0.613, 1.974, 0.860, 0.742, 0.784),
    "DSCLRCN": (0.869, 0.637, 1.979, 0.831, 0.736, 0.715),
    "SalNet": (0.860, 0.674, 1.766, 0.730, 0.711, 0.696),
    "TempSAL": (0.869, 0.195, 1.967, 0.911, 0.745, 0.800),
    "SAM": (0.866, 0.610, 1.965, 0.842, 0.741, 0.751),
    "SimpleNet": (0.869, 0.201, 1.960, 0.907, 0.743, 0.793),
    "SALICON": (0.837, 0.658, 1.877, 0.657, 0.694, 0.639),
    "DeepGaze IIE": (0.869, 0.285, 1.996, 0.872, 0.767, 0.733),
    "UNISAL": (0.864, 0.350, 1.952, 0.879, 0.739, 0.775),
    "RINet": (0.869, 0.189, 1.982, 0.911, 0.746, 0.803),
    "MDSEM": (0.868, 0.568, 2.058, 0.868, 0.746, 0.774),
    "the paper's": (0.870, 0.191, 1.973, 0.914, 0.744, 0.805),
}
METRICS = ("auc_borji", "kld", "nss", "cc", "sauc", "sim")  # the columns, by the definitions of "salicon"


def models_of(options: argparse.Namespace) -> dict[str, Model]:
    """The networks of the given checkouts, each tried on an empty image; the compact networks if none is given.

    Raises:
        FileNotFoundError: If weights are missing.
        ValueError: If a network cannot take images of this size.
    """
    models = {}
    for option, (name, network, learning_rate) in CHECKOUTS.items():
        if checkout := getattr(options, option):
            build = partial(network, checkout, pretrained=not options.smoke)
            with torch.no_grad():
                build().eval()(torch.zeros(1, 3, options.size, options.size))
            models[name] = Model(build, learning_rate)
    if models or options.data:
        return models or COMPACT
    pretraining = Pretraining(scenes=8, steps=2) if options.smoke else Pretraining()
    for name, (build, learning_rate) in COMPACT.items():
        encoder = type(build().encoder).__module__  # three of the four networks share one encoder
        path = options.runs / f"{encoder}-{pretraining.scenes}-{pretraining.steps}.safetensors"
        steps = partial(progress_bar, desc=f"encoder of {name}")
        models[name] = Model(pretrained(build, path, pretraining, options.device, steps), learning_rate)
    return models


def data_of(options: argparse.Namespace) -> tuple[FixatedFolder, FixatedFolder, str]:
    """Images to train on, images to measure on, and a description of the second."""
    if options.data:
        training, held_out, has_val = open_splits(options.data)
        if options.dataset not in (None, training.layout):
            raise SystemExit(f"{options.data} has the layout {training.layout!r}, not --dataset {options.dataset!r}.")
        if has_val:
            return training, held_out, f"{training.layout} val, {len(held_out)} images, edition {options.edition}"
        count = len(training) + len(held_out)
        return training, held_out, f"{training.layout}, {len(held_out)} of {count} images, held out by name"
    # Two folders of "train", each the series of its own seed: the published figures were measured on these.
    train = partial(write_scenes, count=options.scenes, split="train", seed=801)
    measure = partial(write_scenes, count=options.held_out, split="train", seed=802, start=100_000)
    folders = write_once(options.runs / "training", train), write_once(options.runs / "held_out", measure)
    held_out = FixatedFolder(folders[1], "train")
    return FixatedFolder(folders[0], "train"), held_out, f"{len(held_out)} held-out scenes"


def train_all(
    models: dict[str, Model],
    training_set: TrainingSet,
    measured: HeldOut,
    settings: dict[str, Any],
    options: argparse.Namespace,
) -> dict[str, Trials]:
    """Train every network with and without augmentation from every seed, and print the expected time before each."""
    recipes, trials = dict[str, Recipe](), dict[str, Trials]()
    for name, model in models.items():
        rate = options.learning_rate or model.learning_rate
        recipes[name] = Recipe(steps=options.steps, size=options.size, learning_rate=rate)
        trials[name] = Trials(options.runs / name.replace(" ", "_"), {**settings, **asdict(recipes[name])})
    for name, recipe in recipes.items():
        run = partial(
            run_trial,
            models[name].build,
            training_set=training_set,
            held_out=measured,
            recipe=recipe,
            device=options.device,
        )
        missing = trials[name].missing([WITHOUT, *find_variants(["with"])], range(options.seeds))
        print(f"{name}: {measure_budget(missing, run, recipe)}", flush=True)
        with progress_bar(total=len(missing), unit="trial", desc=name) as shown:
            trials[name].fill(missing, run, shown.update)
    return trials


def print_table1(held_out: FixatedFolder, where: str, options: argparse.Namespace) -> None:
    """Print the published numbers, and those of the predictor on the held-out images."""
    result = evaluate(
        run_model(load_model(options.predictor, options.device)),
        held_out,
        preset="salicon",
        progress=lambda names: progress_bar(names, desc="predictor"),
    )
    print("\nTable 1, published: SALICON test, edition of 2017")
    print(f"{'':24s}" + "".join(f"{column:>8s}" for column in COLUMNS))
    for name, numbers in PUBLISHED.items():
        print(f"{name:24s}" + "".join(f"{number:8.3f}" for number in numbers))
    print(f"{'SaliencyPredictor':24s}" + "".join(f"{result.mean(metric)[0]:8.3f}" for metric in METRICS))
    print(f"The last row is measured on {where}. It is comparable with the others only on SALICON's test set of 2017.")


def print_table2(trials: dict[str, Trials], where: str) -> None:
    print(
        f"\nTable 2 on {where}: mean ± standard error over seeds; difference, p of the paired test, Holm over metrics"
    )
    for name, of_model in trials.items():
        baseline, augmented = (of_model.read(variant) for variant in find_variants(["without", "with"]))
        for metric, row in compare(augmented, baseline).items():
            without = compare(baseline, baseline)[metric]
            print(f"{name:22s}{metric:10s} without {without.mean_text()}   with {row}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of a data set; procedural scenes if not given")
    parser.add_argument("--dataset", choices=("salicon", "mit1003", "cat2000"), help="layout that --data must have")
    parser.add_argument("--edition", default="not given", help="edition of the data, as 2015 or 2017 for SALICON")
    parser.add_argument("--editor", default="bundled", help="bundled, sd-v1-5, a folder or a hub id")
    parser.add_argument("--predictor", default="bundled", help="bundled, or a folder of trained readouts")
    parser.add_argument("--seeds", type=int, default=5, help="number of trainings with and without")
    parser.add_argument("--scenes", type=int, default=200, help="number of procedural scenes to train on")
    parser.add_argument("--held-out", type=int, default=100, help="number of procedural scenes to measure on")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="number of optimiser steps")
    parser.add_argument("--size", type=int, default=Recipe.size, help="side of the network's input in pixels")
    parser.add_argument(
        "--learning-rate", type=float, help="largest learning rate of every network; its own if not given"
    )
    for option, (name, *_) in CHECKOUTS.items():
        parser.add_argument(f"--{option}", type=Path, metavar="PATH", help=f"checkout of {name}, to train its network")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="device to train on")
    parser.add_argument("--runs", type=Path, default=Path("runs/table2"), help="folder of edits and trials")
    parser.add_argument(
        "--smoke", action="store_true", help="run everything once, in two minutes; checkouts without weights"
    )
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.seeds, options.scenes, options.held_out, options.steps = 2, 4, 4, 2
        options.size = 256 if options.simplenet or options.tempsal else 64
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    shared = {"data": str(options.data), "scenes": options.scenes, "held out": options.held_out}
    keep_settings(options.runs, {**shared, "editor": options.editor})  # all networks share these edits
    models = models_of(options)
    training, held_out, where = data_of(options)
    print(f"{len(training)} images to train on; measured on {where}", flush=True)
    open_editor = partial(SaliencyEditor.from_pretrained, options.editor, device=options.device)
    store = fill_store(options.runs / "edits", training, open_editor)
    training_set = TrainingSet(training, options.size, {"default": store})
    measured = HeldOut.read(held_out, options.size)
    settings = {"training": len(training), "measured on": where, "pretrained": not options.data}
    trials = train_all(models, training_set, measured, settings, options)
    print_table2(trials, where)
    print_table1(held_out, where, options)


if __name__ == "__main__":
    main()
