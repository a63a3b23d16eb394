"""Tables 1 and 2 of the paper on your data: does training with the augmentation help, and how good is the predictor?

    python examples/reproduce_table2.py --data SALICON --editor sd-v1-5 --device cuda --size 256 --steps 20000
    python examples/reproduce_table2.py          # procedural scenes, bundled editor
    python examples/reproduce_table2.py --smoke  # everything once, in a minute

``--data`` is a folder in SALICON's layout with train and val splits. Edits are made once and kept in ``--runs`` with
one JSON a training; run it again, or beside itself, and nothing finished is repeated. Images, maps and edits are held
in memory at ``--size``: SALICON's at 256 px take 27 GB.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from compact_unisal import CompactUnisal
from torch import nn
from tqdm import tqdm

from augsal_transforms import SaliencyEditor
from augsal_transforms.data.coco import write_scenes
from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.evaluation.cells import WITHOUT, find_cells
from augsal_transforms.evaluation.evaluate import evaluate
from augsal_transforms.evaluation.grid import Trials
from augsal_transforms.evaluation.models import load_model, run_model
from augsal_transforms.evaluation.paired import compare
from augsal_transforms.evaluation.pool import HeldOut, TrainingPool
from augsal_transforms.evaluation.preparation import fill_store, measure_budget, write_once
from augsal_transforms.evaluation.trial import Recipe, run_trial

# Stand-ins of our own; a checkout of an upstream repository would add its network here.
MODELS: dict[str, Callable[[], nn.Module]] = {"compact UNISAL": CompactUnisal}

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
OURS = ("auc_borji", "kld", "nss", "cc", "sauc", "sim")  # by the definitions of "salicon"


def data_of(options: argparse.Namespace) -> tuple[FixatedFolder, FixatedFolder, str]:
    """Images to train on, images to measure on, and what those are."""
    if options.data:
        training, held_out = (FixatedFolder(options.data, split) for split in ("train", "val"))
        return training, held_out, f"{options.dataset} val, {len(held_out)} images, edition {options.edition}"
    train = partial(write_scenes, count=options.scenes, split="train", seed=801)
    measure = partial(write_scenes, count=options.held_out, split="val", seed=802, start=100_000)
    folders = write_once(options.runs / "training", train), write_once(options.runs / "held_out", measure)
    held_out = FixatedFolder(folders[1], "val")
    return FixatedFolder(folders[0], "train"), held_out, f"{len(held_out)} held-out scenes"


def print_table1(held_out: FixatedFolder, where: str, options: argparse.Namespace) -> None:
    """The published numbers, then the predictor's on the data at hand, which are no test set's."""
    result = evaluate(
        run_model(load_model(options.predictor, options.device)),
        held_out,
        preset="salicon",
        progress=lambda names: tqdm(names, desc="predictor", disable=None),
    )
    print("\nTable 1, published: SALICON test, edition of 2017")
    print(f"{'':24s}" + "".join(f"{column:>8s}" for column in COLUMNS))
    for name, numbers in PUBLISHED.items():
        print(f"{name:24s}" + "".join(f"{number:8.3f}" for number in numbers))
    print(f"{'SaliencyPredictor':24s}" + "".join(f"{result.mean(metric)[0]:8.3f}" for metric in OURS))
    print(f"The last row is on {where}: it can be compared with those above only on the test set they are from.")


def print_table2(trials: dict[str, Trials], where: str) -> None:
    print(
        f"\nTable 2 on {where}: mean ± standard error over seeds; difference, p of the paired test, Holm over metrics"
    )
    for name, of_model in trials.items():
        baseline, augmented = (of_model.read(cell) for cell in find_cells(["without", "with"]))
        for metric, row in compare(augmented, baseline).items():
            plain = compare(baseline, baseline)[metric]
            print(f"{name:16s}{metric:10s} without {plain.level()}   with {row}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder in SALICON's layout; procedural scenes if not given")
    parser.add_argument("--dataset", choices=("salicon", "mit1003", "cat2000"), default="salicon")
    parser.add_argument("--edition", default="not given", help="of the data, as 2015 or 2017 for SALICON")
    parser.add_argument("--editor", default="bundled", help="bundled, sd-v1-5, a folder or a hub id")
    parser.add_argument("--predictor", default="bundled", help="bundled, or a folder of trained readouts")
    parser.add_argument("--seeds", type=int, default=5, help="trainings with and without, each")
    parser.add_argument("--scenes", type=int, default=200, help="procedural scenes to train on")
    parser.add_argument("--held-out", type=int, default=100, help="procedural scenes to measure on")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="of the optimiser")
    parser.add_argument("--size", type=int, default=Recipe.size, help="side of the network's input")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--runs", type=Path, default=Path("runs/table2"), help="where edits and trainings are kept")
    parser.add_argument("--smoke", action="store_true", help="everything once, in a minute")
    options = parser.parse_args()
    if options.smoke:
        options.seeds, options.scenes, options.held_out, options.steps, options.size = 2, 4, 4, 2, 64

    recipe, cells = Recipe(steps=options.steps, size=options.size), [WITHOUT, *find_cells(["with"])]
    training, held_out, where = data_of(options)
    open_editor = partial(SaliencyEditor.from_pretrained, options.editor, device=options.device)
    store = fill_store(options.runs / "edits", training, open_editor)
    pool = TrainingPool(training, recipe.size, {"default": store})
    measured = HeldOut.read(held_out, recipe.size)
    settings = {"training": len(training), "measured on": where, "editor": options.editor, **asdict(recipe)}
    trials = {name: Trials(options.runs / name.replace(" ", "_"), settings) for name in MODELS}
    for name, of_model in trials.items():
        run = partial(run_trial, MODELS[name], pool=pool, held_out=measured, recipe=recipe, device=options.device)
        missing = of_model.missing(cells, range(options.seeds))
        print(f"{name}: {measure_budget(missing, run, recipe)}", flush=True)
        of_model.fill(missing, run)
    print_table2(trials, where)
    print_table1(held_out, where, options)


if __name__ == "__main__":
    main()
