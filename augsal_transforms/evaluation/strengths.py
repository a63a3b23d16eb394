"""Changes of gaze, edit by edit, put together by kind and strength, however many strengths each image has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from augsal_transforms.evaluation.shift import FixationShift, summarise_shift

LEVELS = 6  # more strengths than these of one kind were drawn, not chosen
ALL = "all kinds"


class GazeChange(NamedTuple):
    """What one edit of an image did to the gaze in its region; NaN where that is undefined."""

    original: str
    kind: str
    alpha: float
    change: float


class Level(NamedTuple):
    """The edits of one kind whose α lies between these, both included."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}" if self.low == self.high else f"{self.low:.3g}–{self.high:.3g}"


@dataclass(frozen=True)
class KindShift:
    """The shift of one kind of edit; ``levels`` are the strengths of ``shift.by_strength``."""

    levels: tuple[Level, ...]
    shift: FixationShift


def compare_kinds(changes: Sequence[GazeChange]) -> dict[str, KindShift]:
    """The shift of each kind of edit and, as ``"all kinds"``, of the images' means over the kinds that they have."""
    originals = list(dict.fromkeys(change.original for change in changes))
    shifts, over_kinds = {}, []
    for kind in sorted({change.kind for change in changes}):
        of_kind = [change for change in changes if change.kind == kind]
        levels = find_levels([change.alpha for change in of_kind])
        table = arrange(of_kind, [name for name in originals if name in {c.original for c in of_kind}], levels)
        shifts[kind] = KindShift(levels, summarise_shift(table))
        over_kinds.append(arrange(of_kind, originals, levels).nanmean(1))
    of_all = summarise_shift(torch.stack(over_kinds, 1).nanmean(1, keepdim=True))
    return {**shifts, ALL: KindShift((), replace(of_all, by_strength=()))}


def find_levels(alphas: Sequence[float]) -> tuple[Level, ...]:
    """Each strength if they are few, else three ranges of them with as many edits each; weak to strong."""
    distinct = sorted(set(alphas))
    if len(distinct) <= LEVELS:
        return tuple(Level(alpha, alpha) for alpha in distinct)
    ranked = sorted(alphas)
    ends = [ranked[math.ceil(len(ranked) * part / 3) - 1] for part in (1, 2, 3)]  # equal strengths stay together
    starts = [-math.inf, *ends]
    groups = [[a for a in ranked if start < a <= end] for start, end in zip(starts, ends, strict=False)]
    return tuple(Level(group[0], group[-1]) for group in groups if group)


def arrange(changes: Sequence[GazeChange], originals: Sequence[str], levels: Sequence[Level]) -> Tensor:
    """Images by levels, (N, S): the mean of an image's defined changes there, NaN where it has none."""
    cells: dict[tuple[str, Level], list[float]] = {}
    for change in changes:
        level = next(level for level in levels if level.low <= change.alpha <= level.high)
        cells.setdefault((change.original, level), []).append(change.change)
    rows = [[torch.tensor(cells.get((n, level), []), dtype=torch.double) for level in levels] for n in originals]
    return torch.stack([torch.stack([cell.nanmean() for cell in row]) for row in rows])
