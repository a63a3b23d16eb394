"""What comes before trials: scenes on disk, edits in a store, and how long all of it will take."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from table2.grid import Trial
from table2.trial import Recipe
from tqdm import tqdm

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.generate.generation import Generation
from augsal_transforms.store.store import EditStore

STRENGTHS = 3  # edits of each kind and image
PROBE = (2, 10)  # steps


def write_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """A folder that is whole or absent, whoever else writes it at the same time."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as place:
            write(Path(place) / "whole")
            if not folder.exists():
                shutil.move(Path(place) / "whole", folder)
    return folder


def fill_store(folder: Path, data: SaliencyFolder, open_editor: Callable[[], SaliencyEditor]) -> EditStore:
    """Edits of every image, each kind at several strengths; the editor is opened only where some are missing."""
    store, done = EditStore(folder), folder / "filled"
    if not done.exists():
        editor = open_editor()
        with tqdm(total=STRENGTHS * len(data), desc=folder.name, disable=None) as bar:
            for seed in range(STRENGTHS):
                Generation(editor, store, data, seed=seed).run(data.names, bar.update)
        done.touch()
    return store


@dataclass(frozen=True)
class Budget:
    """What is left to do: trials and seconds of one process's wall clock."""

    trials: int
    seconds: float

    def __str__(self) -> str:
        hours, minutes = divmod(max(1, round(self.seconds / 60)), 60)
        return f"{self.trials} trials, about {hours} h {minutes:02d} min for one process"


def measure_budget(missing: Sequence[Trial], run: Callable[..., object], recipe: Recipe) -> Budget:
    """From short trainings of the first cell with one forward pass a step, and of the first with two.

    Args:
        missing: What is left to do.
        run: ``run(cell, seed, recipe=recipe)`` trains and scores.
        recipe: How.
    """
    seconds = dict[bool, float]()
    for cell, seed in missing:
        if (twice := cell.augmentation == "edits") not in seconds:
            times = []
            for steps in PROBE:
                started = time.monotonic()
                run(cell, seed, recipe=replace(recipe, steps=steps))
                times.append(time.monotonic() - started)
            seconds[twice] = extrapolate(times[0], times[1], recipe.steps)
    return Budget(len(missing), sum(seconds[cell.augmentation == "edits"] for cell, _ in missing))


def extrapolate(short: float, long: float, steps: int) -> float:
    """Seconds of a trial from those of the two probes; scoring is in both."""
    return short + (steps - PROBE[0]) * max(0.0, long - short) / (PROBE[1] - PROBE[0])
