"""Fixation shift: the change of gaze inside an edited region, tested over images (Sec. 5.4).

Gaze is a map of fixations at any scale: ``count_fixations`` of people's fixations, or a synthetic observer's
``fixation_density``. Its measure is the share of gaze inside the edit mask over the mask's share of the image, which
is 1 for gaze that is spread evenly. The change is the measure on the edited image minus the measure on the original.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from augsal_transforms.gaze_study.statistics import MeanChange, mean_change, paired_t


def gaze_in_region(gaze: Tensor, edit_mask: Tensor) -> Tensor:
    """Share of the gaze inside a mask, over the mask's share of the image.

    Args:
        gaze: (..., H, W), counts of fixations or a density, not negative.
        edit_mask: Shaped like ``gaze``, in [0, 1]; soft edges count in part.

    Returns:
        (...,) float64 on the CPU; NaN where the gaze or the mask is empty.

    Raises:
        ValueError: If the shapes differ, or a map is negative.
    """
    gaze, edit_mask = (one.detach().as_subclass(Tensor).cpu().double() for one in (gaze, edit_mask))
    if gaze.shape != edit_mask.shape or gaze.ndim < 2:
        raise ValueError(
            f"`gaze` and `edit_mask` must be (..., H, W) of one shape, got {tuple(gaze.shape)} and "
            f"{tuple(edit_mask.shape)}. Both are at the size of the image that was shown."
        )
    for name, one in (("gaze", gaze), ("edit_mask", edit_mask)):
        if bool((one < 0).any()):
            raise ValueError(f"`{name}` must not be negative, got {one.min().item():.3g}.")
    share = (gaze * edit_mask).sum((-2, -1)) / gaze.sum((-2, -1))
    return share / edit_mask.mean((-2, -1))


def gaze_changes(before: Sequence[Tensor], after: Sequence[Tensor], edit_masks: Sequence[Tensor]) -> Tensor:
    """Change of ``gaze_in_region`` by each edit: its value on the edited image minus its value on the original.

    Args:
        before: Gaze on the originals, N maps (1, H, W).
        after: Gaze on the edited images, N·S maps (1, H, W), image by image as ``SaliencyEditor.apply`` returns them.
        edit_masks: Edit mask of each image, N maps (1, H, W).

    Returns:
        (N, S) float64; NaN where either gaze or the mask is empty.

    Raises:
        ValueError: If there is not the same number of edits of every image, or of masks and images.
    """
    if not before or len(after) % len(before) or len(edit_masks) != len(before):
        raise ValueError(
            "`after` must have the same number of edits for every image in `before`, `edit_masks` one mask for each, "
            f"got {len(before)} originals, {len(after)} edits and {len(edit_masks)} masks."
        )
    each = len(after) // len(before)
    rows = []
    for n, (gaze, mask) in enumerate(zip(before, edit_masks, strict=True)):
        changed = [gaze_in_region(edited, mask) for edited in after[n * each : (n + 1) * each]]
        rows.append(torch.stack(changed).flatten() - gaze_in_region(gaze, mask).flatten())
    return torch.stack(rows)


@dataclass(frozen=True, kw_only=True)
class FixationShift:
    """``gaze_changes`` summarised over images; the image is the unit of the test.

    Attributes:
        images: Number of images in the test.
        undefined: Number of images left out, because the gaze on them or the mask is empty.
        by_alpha: Mean change for each α, in the order given, over the images that have a change there.
        mean: Mean over images of each image's mean change over α.
        t: Student's t of the images' mean changes against 0.
        p: Two-sided p-value of ``t``.
        p_rise: One-sided p-value of ``t``, against "no rise".
        effect: Cohen's d of paired samples: ``mean`` divided by the standard deviation of the images' mean changes.
    """

    images: int
    undefined: int
    by_alpha: tuple[MeanChange, ...]
    mean: float
    t: float
    p: float
    p_rise: float
    effect: float

    @property
    def rises_with_alpha(self) -> bool:
        """``True`` if gaze rises significantly (one-sided p < 0.05) and the mean change is larger for each larger α."""
        means = [at.mean for at in self.by_alpha]
        rising = len(means) > 0 and all(weak < strong for weak, strong in pairwise(means))
        return self.p_rise < 0.05 and rising


def summarise_shift(changes: Tensor) -> FixationShift:
    """Paired t-test, effect size and means by α of ``gaze_changes``.

    Args:
        changes: (N, S), images by α from weak to strong; NaN where an image has no such edit or its change is
            undefined. An image's mean is over the changes that it has; images without any are left out and counted.

    Returns:
        The shift; t and p are NaN if fewer than two images are left.
    """
    kept = changes.double()[~changes.isnan().all(1)]
    means = kept.nanmean(1)
    t, p = paired_t(means.tolist()) if len(means) > 1 else (math.nan, math.nan)
    return FixationShift(
        images=len(kept),
        undefined=len(changes) - len(kept),
        by_alpha=tuple(mean_change(column[~column.isnan()].tolist()) for column in kept.T),
        mean=means.mean().item(),
        t=t,
        p=p,
        p_rise=p / 2 if t > 0 else 1 - p / 2,
        effect=t / max(1, len(kept)) ** 0.5,
    )


MOST_ALPHAS = 6  # a kind with more distinct α has drawn and not chosen ones, which are grouped into ranges
ALL_KINDS = "all kinds"


class GazeChange(NamedTuple):
    """Change of gaze by one edit of an image; NaN where it is undefined."""

    original: str
    kind: str
    alpha: float
    change: float


class AlphaSpan(NamedTuple):
    """A range of α, ``low`` and ``high`` included; the edits of one kind inside it are taken together."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}" if self.low == self.high else f"{self.low:.3g}–{self.high:.3g}"


@dataclass(frozen=True)
class KindShift:
    """The shift of one kind of edit; ``alpha_spans`` are the α of ``shift.by_alpha``."""

    alpha_spans: tuple[AlphaSpan, ...]
    shift: FixationShift


def compare_kinds(changes: Sequence[GazeChange]) -> dict[str, KindShift]:
    """Summarise the changes of each kind of edit and, as ``"all kinds"``, of all.

    For all kinds, an image's change is its mean over the kinds that it has, each of which is a mean over α.

    Args:
        changes: The change of each edit.
    """
    originals = list(dict.fromkeys(change.original for change in changes))
    shifts, over_kinds = {}, []
    for kind in sorted({change.kind for change in changes}):
        of_kind = [change for change in changes if change.kind == kind]
        spans = find_spans([change.alpha for change in of_kind])
        edited = list(dict.fromkeys(change.original for change in of_kind))
        shifts[kind] = KindShift(spans, summarise_shift(arrange_changes(of_kind, edited, spans)))
        over_kinds.append(arrange_changes(of_kind, originals, spans).nanmean(1))
    of_all = summarise_shift(torch.stack(over_kinds, 1).nanmean(1, keepdim=True))
    return {**shifts, ALL_KINDS: KindShift((), replace(of_all, by_alpha=()))}


def find_spans(alphas: Sequence[float]) -> tuple[AlphaSpan, ...]:
    """Each distinct α if there are few, else three ranges with about as many edits each; from low to high."""
    distinct = sorted(set(alphas))
    if len(distinct) <= MOST_ALPHAS:
        return tuple(AlphaSpan(alpha, alpha) for alpha in distinct)
    ranked = sorted(alphas)
    ends = [ranked[math.ceil(len(ranked) * part / 3) - 1] for part in (1, 2, 3)]  # equal α stay together
    starts = [-math.inf, *ends]
    groups = [[a for a in ranked if start < a <= end] for start, end in zip(starts, ends, strict=False)]
    return tuple(AlphaSpan(group[0], group[-1]) for group in groups if group)


def arrange_changes(changes: Sequence[GazeChange], originals: Sequence[str], spans: Sequence[AlphaSpan]) -> Tensor:
    """A table of images by ranges of α, (N, S): the mean of an image's defined changes there, NaN without any.

    Args:
        changes: Changes by edits of one kind.
        originals: Names of the N images.
        spans: The S ranges of α, which hold the α of every change.
    """
    by_place: dict[tuple[str, AlphaSpan], list[float]] = {}
    for change in changes:
        span = next(span for span in spans if span.low <= change.alpha <= span.high)
        by_place.setdefault((change.original, span), []).append(change.change)
    means = [
        [torch.tensor(by_place.get((name, span), []), dtype=torch.double).nanmean() for span in spans]
        for name in originals
    ]
    return torch.stack([torch.stack(row) for row in means])
