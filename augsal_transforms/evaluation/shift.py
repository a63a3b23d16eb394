"""Do people look more at what was edited? The comparison of Sec. 5.4, for fixations of people or of an observer.

Gaze is a map of where someone looked, of any scale: ``count_fixations`` of people's, or a synthetic observer's
``fixation_density``. What is compared is its share inside the edit mask per unit of area, where 1 is what a blind
observer gives, after the edit less before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


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


@dataclass(frozen=True, kw_only=True)
class FixationShift:
    """What ``gaze_changes`` amounts to over images; the image is the unit of the test.

    Attributes:
        images: How many entered.
        undefined: How many did not, because nobody looked or nothing was edited.
        by_strength: The mean change at each strength, in the order given.
        t: Student's t of the images' means over strengths, paired with the originals.
        p: Its two-sided p-value.
        p_rise: Its one-sided p-value, against "no rise".
        effect: Cohen's d of paired samples: the mean of the images' changes in their standard deviations.
    """

    images: int
    undefined: int
    by_strength: tuple[float, ...]
    t: float
    p: float
    p_rise: float
    effect: float

    @property
    def rises_with_strength(self) -> bool:
        """A rise that the test does not take for chance (p < 0.05, one-sided), larger for stronger edits."""
        rising = all(weak < strong for weak, strong in zip(self.by_strength, self.by_strength[1:], strict=False))
        return self.p_rise < 0.05 and rising


def summarise_shift(changes: Tensor) -> FixationShift:
    """Paired t-test, effect size and means by strength of ``gaze_changes``.

    Args:
        changes: (N, S), images by strengths from weak to strong; images with NaN are left out and counted.

    Raises:
        ValueError: If fewer than two images are left.
    """
    from scipy.stats import ttest_1samp  # the rest of the library does without SciPy

    kept = changes.double()[~changes.isnan().any(1)]
    if len(kept) < 2:
        raise ValueError(f"`changes` must have at least 2 images in which everything is defined, got {len(kept)}.")
    means = kept.mean(1)
    two_sided, rise = (ttest_1samp(means.numpy(), 0, alternative=kind) for kind in ("two-sided", "greater"))
    return FixationShift(
        images=len(kept),
        undefined=len(changes) - len(kept),
        by_strength=tuple(kept.mean(0).tolist()),
        t=float(two_sided.statistic),
        p=float(two_sided.pvalue),
        p_rise=float(rise.pvalue),
        effect=(means.mean() / means.std()).item(),
    )
