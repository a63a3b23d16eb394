"""Prepare trials: write scenes to disk, fill a store with edits, and estimate how long the trials will take."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.generate.generation import Generation
from augsal_transforms.progress import progress_bar
from augsal_transforms.store.store import EditStore
from table2.grid import Trial
from table2.trial import Recipe

EDITS_PER_KIND = 3  # edits of each kind for each image, with different alphas
PROBE = (2, 10)  # optimiser steps of the two short trainings that are timed


def write_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """Write a folder once and return it; it is complete or absent, also where several processes write it."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as temporary:
            write(Path(temporary) / "complete")
            if not folder.exists():
                shutil.move(Path(temporary) / "complete", folder)
    return folder


def fill_store(folder: Path, data: SaliencyFolder, open_editor: Callable[[], SaliencyEditor]) -> EditStore:
    """Fill a store with several edits of each kind for every image. The editor is opened only if edits are missing."""
    store, done = EditStore(folder), folder / "filled"
    if not done.exists():
        editor = open_editor()
        with progress_bar(total=EDITS_PER_KIND * len(data), desc=folder.name) as bar:
            for seed in range(EDITS_PER_KIND):
                Generation(editor, store, data, seed=seed).run(data.names, bar.update)
        done.touch()
    return store


@dataclass(frozen=True)
class Budget:
    """Number of unfinished trials, and the seconds that one process needs for them."""

    trials: int
    seconds: float

    def __str__(self) -> str:
        hours, minutes = divmod(max(1, round(self.seconds / 60)), 60)
        return f"{self.trials} trials, about {hours} h {minutes:02d} min for one process"


def measure_budget(missing: Sequence[Trial], run: Callable[..., object], recipe: Recipe) -> Budget:
    """Estimate the time of the unfinished trials from short trainings.

    Two variants are timed: the first that takes one forward pass per step, and the first that takes two.

    Args:
        missing: Unfinished trials.
        run: Function ``run(variant, seed, recipe=recipe)`` that trains a network and returns its scores.
        recipe: Recipe of the trials.
    """
    seconds = dict[bool, float]()
    for variant, seed in missing:
        if (two_passes := variant.augmentation == "edits") not in seconds:
            times = []
            for steps in PROBE:
                started = time.monotonic()
                run(variant, seed, recipe=replace(recipe, steps=steps))
                times.append(time.monotonic() - started)
            seconds[two_passes] = extrapolate(times[0], times[1], recipe.steps)
    return Budget(len(missing), sum(seconds[variant.augmentation == "edits"] for variant, _ in missing))


def extrapolate(short: float, long: float, steps: int) -> float:
    """Estimate the seconds of a trial of ``steps`` from those of the two probes, which both include the scoring."""
    return short + (steps - PROBE[0]) * max(0.0, long - short) / (PROBE[1] - PROBE[0])
