"""A grid of trials, one JSON each, filled by any number of processes and gone on with after any of them dies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from table2.variants import Cell

from augsal_transforms.files import write_file
from augsal_transforms.generate.claims import Claims

POLL = 1.0  # seconds between looks at what another process is at
PATIENCE = 60.0  # seconds that a claim is respected for at least

Trial = tuple[Cell, int]
Run = Callable[[Cell, int], dict[str, float]]


class Trials:
    """The trials of a comparison in a folder: ``CELL-SEED.json``, written beside its place and renamed.

    Args:
        folder: Made where it is not there.
        settings: What all trials share: data, recipe. It is kept in ``settings.json``.

    Raises:
        ValueError: If the folder holds trials of other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        keep_settings(folder, settings)

    def read(self, cell: Cell) -> dict[int, dict[str, float]]:
        """The scores of a cell's finished trials by seed.

        Raises:
            ValueError: If they are of another cell of the same name.
        """
        found = {}
        for path in sorted(self.folder.glob(f"{_file_name(cell)}-*.json")):
            seed = path.stem.removeprefix(f"{_file_name(cell)}-")
            if seed.isdecimal():
                trial = json.loads(path.read_text())
                if trial["cell"] != json.loads(json.dumps(asdict(cell))):
                    raise ValueError(f"{path} is of another cell named {cell.name!r}; delete it to run this one.")
                found[int(seed)] = trial["scores"]
        return found

    def missing(self, cells: Iterable[Cell], seeds: Sequence[int]) -> list[Trial]:
        """Trials that are not finished: cell by cell, so that what comes first is whole first."""
        return [(cell, seed) for cell in cells for seed in seeds if not self._path((cell, seed)).exists()]

    def fill(self, trials: list[Trial], run: Run, finished: Callable[[], object] = lambda: None) -> None:
        """Run the trials that are not finished.

        Args:
            trials: In this process's order. What another process is at is left for the end.
            run: Trains and scores.
            finished: Called as often as a trial is finished, by whomever.
        """
        claims, longest = Claims(self.folder), 0.0
        while trials:
            claimed = []
            for trial in trials:
                if not self._path(trial).exists() and not claims.take(_claim(trial)):
                    claimed.append(trial)
                    continue
                if not self._path(trial).exists():
                    started = time.monotonic()
                    self._write(trial, run)
                    longest = max(longest, time.monotonic() - started)
                claims.release(_claim(trial))
                finished()
            trials = claimed
            outwait(claims, [_claim(trial) for trial in trials], max(PATIENCE, 2 * longest))

    def _write(self, trial: Trial, run: Run) -> None:
        cell, seed = trial
        started = time.process_time()
        scores = run(cell, seed)
        content = {"cell": asdict(cell), "seed": seed, "scores": scores, "seconds": time.process_time() - started}
        write_file(self._path(trial), json.dumps(content, indent=2).encode())

    def _path(self, trial: Trial) -> Path:
        cell, seed = trial
        return self.folder / f"{_file_name(cell)}-{seed:03d}.json"


def keep_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write ``settings.json`` into a folder, or hold what is there to it.

    Raises:
        ValueError: If what is there was made with other settings.
    """
    path, wanted = folder / "settings.json", json.loads(json.dumps(settings))
    if not path.exists():
        write_file(path, json.dumps(settings, indent=2).encode())
    kept = json.loads(path.read_text())
    if kept != wanted:
        other = next(name for name in kept | wanted if kept.get(name) != wanted.get(name))
        raise ValueError(
            f"{folder} holds what was made with {other} = {kept.get(other)!r}, not {wanted.get(other)!r}, which "
            "cannot be compared. Name another folder."
        )


def outwait(claims: Claims, names: Sequence[str], seconds: float) -> None:
    """Wait until claims are given up; those that stand unchanged for so long are of the dead, and released."""
    stamps = {name: claims.stamp(name) for name in names}
    deadline = time.monotonic() + seconds
    while any(stamps.values()) and time.monotonic() < deadline:
        time.sleep(POLL)
        stamps = {name: stamp for name, stamp in stamps.items() if claims.stamp(name) == stamp}
    for name in stamps:
        claims.release(name)


def _claim(trial: Trial) -> str:
    return f"{_file_name(trial[0])}-{trial[1]}"


def _file_name(cell: Cell) -> str:
    return cell.name.replace(" ", "_")
