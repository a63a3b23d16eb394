"""Do people look more at what was edited? The comparison of Sec. 5.4, for fixations of people or of an observer.

Gaze is a map of where someone looked, of any scale: ``count_fixations`` of people's, or a synthetic observer's
``fixation_density``. What is compared is its share inside the edit mask per unit of area, where 1 is what a blind
observer gives, after the edit less before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from augsal_transforms.gaze_study.statistics import paired_t, student_t


def gaze_in_region(gaze: Tensor, edit_mask: Tensor) -> Tensor:
    """Share of the gaze inside a mask, over the mask's share of the image.

    Args:
        gaze: (..., H, W), counts or a density.
        edit_mask: Likewise, in [0, 1]; soft edges count in part.

    Returns:
        (...,) float64; NaN where nobody looked or the mask is empty.
    """
    gaze, edit_mask = gaze.double(), edit_mask.double()
    share = (gaze * edit_mask).sum((-2, -1)) / gaze.sum((-2, -1))
    return share / edit_mask.mean((-2, -1))


def gaze_changes(before: Sequence[Tensor], after: Sequence[Tensor], edit_masks: Sequence[Tensor]) -> Tensor:
    """Gaze inside the region after each edit less before it.

    Args:
        before: Gaze on the originals, N of (1, H, W).
        after: Gaze on the edits, S of each image, image by image as ``SaliencyEditor.apply`` returns them.
        edit_masks: The region of each image, N of (1, H, W).

    Returns:
        (N, S) float64; NaN where either gaze is empty.

    Raises:
        ValueError: If there is not the same number of edits of every image, or of masks and images.
    """
    if not before or len(after) % len(before) or len(edit_masks) != len(before):
        raise ValueError(
            "`after` must have the same number of edits of every image in `before`, `edit_masks` one mask of each, "
            f"got {len(before)} originals, {len(after)} edits and {len(edit_masks)} masks."
        )
    each = len(after) // len(before)
    rows = []
    for n, (gaze, mask) in enumerate(zip(before, edit_masks, strict=True)):
        changed = [gaze_in_region(edited, mask) for edited in after[n * each : (n + 1) * each]]
        rows.append(torch.stack(changed).flatten() - gaze_in_region(gaze, mask).flatten())
    return torch.stack(rows)


class MeanChange(NamedTuple):
    """A mean over images; ``reach`` is half of its 95 % interval, NaN for fewer than two."""

    images: int
    mean: float
    reach: float


@dataclass(frozen=True, kw_only=True)
class FixationShift:
    """What ``gaze_changes`` amounts to over images; the image is the unit of the test.

    Attributes:
        images: How many entered.
        undefined: How many did not, because nobody looked or nothing was edited.
        by_strength: The change at each strength, in the order given, over the images that have one there.
        mean: Mean of the images' means over strengths.
        t: Student's t of the same, paired with the originals.
        p: Its two-sided p-value.
        p_rise: Its one-sided p-value, against "no rise".
        effect: Cohen's d of paired samples: ``mean`` in standard deviations of the images' means.
    """

    images: int
    undefined: int
    by_strength: tuple[MeanChange, ...]
    mean: float
    t: float
    p: float
    p_rise: float
    effect: float

    @property
    def rises_with_strength(self) -> bool:
        """A rise that the test does not take for chance (p < 0.05, one-sided), larger for stronger edits."""
        means = [strength.mean for strength in self.by_strength]
        rising = len(means) > 0 and all(weak < strong for weak, strong in pairwise(means))
        return self.p_rise < 0.05 and rising


def summarise_shift(changes: Tensor) -> FixationShift:
    """Paired t-test, effect size and means by strength of ``gaze_changes``.

    Args:
        changes: (N, S), images by strengths from weak to strong, NaN where an image has none or it is undefined.
            An image enters with what it has; images that have nothing are left out and counted.

    Returns:
        The shift; t and p are NaN where fewer than two images are left.
    """
    kept = changes.double()[~changes.isnan().all(1)]
    means = kept.nanmean(1)
    t, p = paired_t(means.tolist()) if len(means) > 1 else (math.nan, math.nan)
    return FixationShift(
        images=len(kept),
        undefined=len(changes) - len(kept),
        by_strength=tuple(_mean_change(column[~column.isnan()]) for column in kept.T),
        mean=means.mean().item(),
        t=t,
        p=p,
        p_rise=p / 2 if t > 0 else 1 - p / 2,
        effect=t / max(1, len(kept)) ** 0.5,
    )


def _mean_change(changes: Tensor) -> MeanChange:
    images = len(changes)
    if images < 2:
        return MeanChange(images, changes.mean().item(), math.nan)
    error = changes.std().item() / images**0.5
    return MeanChange(images, changes.mean().item(), error * float(student_t().ppf(0.975, images - 1)))


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
