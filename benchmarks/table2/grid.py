"""A grid of trials, one JSON file each.

Any number of processes fill one grid together. A grid that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from augsal_transforms.files import write_file
from augsal_transforms.generate.claims import Claims
from table2.variants import Variant

PATIENCE = 60.0  # seconds that an unchanged claim is respected, at least

Trial = tuple[Variant, int]
Run = Callable[[Variant, int], dict[str, float]]


class Trials:
    """The trials of a comparison, in a folder of files ``VARIANT-SEED.json``.

    Args:
        folder: Folder of the trials; it is created if it does not exist.
        settings: Settings that all trials share, as data and recipe; kept in ``settings.json``.

    Raises:
        ValueError: If the folder holds trials of other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        keep_settings(folder, settings)

    def read(self, variant: Variant) -> dict[int, dict[str, float]]:
        """Return the scores of a variant's finished trials by seed.

        Raises:
            ValueError: If they belong to another variant of the same name.
        """
        found = {}
        for path in sorted(self.folder.glob(f"{_file_name(variant)}-*.json")):
            seed = path.stem.removeprefix(f"{_file_name(variant)}-")
            if seed.isdecimal():
                trial = json.loads(path.read_text())
                if trial["variant"] != json.loads(json.dumps(asdict(variant))):
                    raise ValueError(
                        f"{path} holds a trial of another variant named {variant.name!r}. Delete it to run this one."
                    )
                found[int(seed)] = trial["scores"]
        return found

    def missing(self, variants: Iterable[Variant], seeds: Sequence[int]) -> list[Trial]:
        """List the unfinished trials, variant by variant, so that the first variants are complete first."""
        return [(variant, seed) for variant in variants for seed in seeds if not self._path((variant, seed)).exists()]

    def fill(self, trials: list[Trial], run: Run, finished: Callable[[], object] = lambda: None) -> None:
        """Run the trials that are not finished.

        Args:
            trials: Trials in the order in which this process tries them. Those claimed by other processes come last.
            run: Function that trains a network and returns its scores.
            finished: Callback, called once for every trial that this or another process has finished.
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
            claims.outwait([_claim(trial) for trial in trials], max(PATIENCE, 2 * longest))

    def _write(self, trial: Trial, run: Run) -> None:
        variant, seed = trial
        started = time.process_time()
        scores = run(variant, seed)
        content = {"variant": asdict(variant), "seed": seed, "scores": scores, "seconds": time.process_time() - started}
        write_file(self._path(trial), json.dumps(content, indent=2).encode())

    def _path(self, trial: Trial) -> Path:
        variant, seed = trial
        return self.folder / f"{_file_name(variant)}-{seed:03d}.json"


def keep_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write ``settings.json`` into a folder, or compare it with the one that is there.

    Raises:
        ValueError: If the folder's contents were made with other settings.
    """
    path, wanted = folder / "settings.json", json.loads(json.dumps(settings))
    if not path.exists():
        write_file(path, json.dumps(settings, indent=2).encode())
    kept = json.loads(path.read_text())
    if kept != wanted:
        changed = next(name for name in kept | wanted if kept.get(name) != wanted.get(name))
        raise ValueError(
            f"The results in {folder} were made with {changed} = {kept.get(changed)!r}, not {wanted.get(changed)!r}, "
            "and cannot be compared with these. Pass another folder to --runs."
        )


def _claim(trial: Trial) -> str:
    return f"{_file_name(trial[0])}-{trial[1]}"


def _file_name(variant: Variant) -> str:
    return variant.name.replace(" ", "_")
