"""Does the synthetic observer look more at what was edited? A stand-in for the paper's Sec. 5.4, not a study of people.

The same scenes are edited at three strengths of each kind, as users would have them (two-sigma rule
on). What is measured is the share of gaze inside the edit mask, per unit of area, after − before; 1 is
what a blind observer gives. Controls: the same edits on another region of the same shape, and null edits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from scipy.stats import ttest_1samp
from torch import Tensor

from augsal_transforms import Brightness, Color, Contrast, SaliencyEditor
from augsal_transforms.data.observer import fixation_density
from augsal_transforms.data.spectral_residual import spectral_residual
from augsal_transforms.editor.edits import COLORS

Row = tuple[str, str, str, bool | None]
SCENES, STRENGTHS = 50, 3
KINDS = ("brightness", "contrast", "color")


def edits_of_scene(number: int) -> list[Any]:
    """Three kinds at three strengths, weak to strong; colours in turn."""
    color = list(COLORS)[number % len(COLORS)]
    return [
        *(Brightness(alpha) for alpha in (0.05, 0.15, 0.25)),
        *(Contrast(alpha) for alpha in (1.2, 1.5, 1.8)),
        *(Color(color, alpha) for alpha in (0.3, 0.55, 0.8)),
    ]


def study(editor: SaliencyEditor, samples: list[Any]) -> Iterator[Row]:
    """One row per kind and judge; scenes whose region is empty are left out."""
    jobs = [s.scene.image for s in samples], [s.saliency_map for s in samples], [s.scene.caption for s in samples]
    pairs = [(s, a) for s, a in zip(samples, editor.analyse(*jobs), strict=True) if a.edit_mask.any()][:SCENES]
    edits = [edits_of_scene(n) for n in range(len(pairs))]
    edited = [result.image for result in editor.apply([a for _, a in pairs], edits)]
    moved = [elsewhere(a.edit_mask, n) for n, (_, a) in enumerate(pairs)]
    analyses = editor.analyse([s.scene.image for s, _ in pairs], moved)
    controls = [result.image for result in editor.apply(analyses, edits)]
    null = [result.image for result in editor.apply([a for _, a in pairs], [[Brightness(0.0)]] * len(pairs))]

    def observer(image: Tensor, number: int) -> Tensor:
        return fixation_density(image, pairs[number][0].scene.objects)

    def second_judge(image: Tensor, number: int) -> Tensor:
        saliency = spectral_residual(image)
        return saliency / saliency.sum()

    regions = [a.edit_mask for _, a in pairs]
    apart = [mask * (other.edit_mask == 0) for mask, other in zip(regions, analyses, strict=True)]
    originals = [s.scene.image for s, _ in pairs]
    rises = gaze_rises(observer, originals, edited, regions)
    yield from _rows("observer, {}", rises, "p < 0.05, rises with strength", _rises_with_strength)
    rises = gaze_rises(observer, originals, controls, apart)
    yield from _rows("observer, {} elsewhere", rises, "no rise", _does_not_rise)
    zero = gaze_rises(observer, originals, null, regions)
    yield "observer, null edit", f"{zero.mean():+.4f}", "no rise", bool((zero == 0).all())
    yield from _rows("spectral residual, {}", gaze_rises(second_judge, originals, edited, regions), "", None)


def elsewhere(mask: Tensor, number: int) -> Tensor:
    """The mask moved to where it meets itself least, of twenty seeded places."""
    generator = torch.Generator().manual_seed(number)
    offsets = torch.randint(16, 112, (20, 2), generator=generator).tolist()
    return min((mask.roll(tuple(offset), (1, 2)) for offset in offsets), key=lambda m: (m * mask).sum().item())


def gaze_rises(judge: Callable[[Tensor, int], Tensor], originals: Any, edited: Any, regions: Any) -> Tensor:
    """(scenes, edits per scene): gaze inside the region, per unit of area, after − before."""
    each = len(edited) // len(originals)
    rows = []
    for n, (image, region) in enumerate(zip(originals, regions, strict=True)):
        versions = [image, *edited[n * each : (n + 1) * each]]
        gaze = [(judge(version, n) * region).sum() * region.numel() / region.sum() for version in versions]
        rows.append(torch.stack(gaze[1:]) - gaze[0])
    return torch.stack(rows)


def _rows(name: str, rises: Tensor, bar: str, verdict: Callable[[Tensor], bool] | None) -> Iterator[Row]:
    for kind, by_strength in zip(KINDS, rises.split(STRENGTHS, dim=1), strict=True):
        means = ", ".join(f"{x:+.3f}" for x in by_strength.mean(0).tolist())
        test = ttest_1samp(by_strength.mean(1).numpy(), 0)
        value = f"{means} (t = {test.statistic:.1f}, p = {test.pvalue:.1g})"
        yield name.format(kind), value, bar, verdict(by_strength) if verdict else None


def _rises_with_strength(rises: Tensor) -> bool:
    """A rise over scenes that a paired t-test does not take for chance, larger for stronger edits."""
    significant = ttest_1samp(rises.mean(1).numpy(), 0, alternative="greater").pvalue < 0.05
    return bool(significant) and bool((rises.mean(0).diff() > 0).all())


def _does_not_rise(rises: Tensor) -> bool:
    return ttest_1samp(rises.mean(1).numpy(), 0, alternative="greater").pvalue >= 0.05
