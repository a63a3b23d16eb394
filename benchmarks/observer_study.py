"""Does the synthetic observer look more at edited regions? This stands in for the paper's Sec. 5.4; nobody is asked.

Fifty scenes are edited at three alphas of each kind, with the two-sigma rule on, as for users. The measure is the gaze
inside the edit mask per unit of area, after minus before; an observer that looks everywhere alike gives 1. The test is
a paired t-test on the means of the scenes. The controls are the same edits on another region of the same shape, and
null edits. The same edits are also made in plain pixels, on the object itself: they show the most that such edits can
reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from table2.spectral_residual import spectral_residual
from torch import Tensor

from augsal_transforms import Brightness, Color, SaliencyEditor
from augsal_transforms.editor.edits import COLORS
from augsal_transforms.editor.latent_edits import LUMA, toward_color
from augsal_transforms.gaze_study.shift import FixationShift, summarise_shift
from augsal_transforms.gaze_study.synthetic import (
    BRIGHTNESS,
    COLOR,
    CONTRAST,
    Judge,
    ObservedScene,
    analyse_scenes,
    edits_of_scene,
    gaze_rises,
)
from augsal_transforms.photometry import weighted_mean
from augsal_transforms.scenes.observer import fixation_density

Row = tuple[str, str, str, bool | None]
SCENES = 50
PLAIN = ("brightness", "contrast", "color")
AWAY = ("brightness away from the surround's", "color furthest from the surround's")


def edits_away(image: Tensor, mask: Tensor) -> list[Any]:
    """Make edits away from the surround: brightness in the direction of the difference, and the furthest colour."""
    sign = 1 if lightness_difference(image, mask) >= 0 else -1
    around = surround_color(image, mask)
    color = max(COLORS, key=lambda name: (torch.tensor(COLORS[name]) - around).norm().item())
    return [*(Brightness(sign * a) for a in BRIGHTNESS), *(Color(color, a) for a in COLOR)]


def surround_color(image: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean colour of a ring of ten pixels about the mask, (3,)."""
    ring = F.max_pool2d(mask[None], 21, stride=1, padding=10)[0] - mask
    return weighted_mean(image[None].float() / 255, ring[None])[0]


def lightness_difference(image: Tensor, mask: Tensor) -> float:
    """Compute the mean luma of the region minus that of its surround."""
    inside = weighted_mean(image[None].float() / 255, mask[None])[0]
    return ((inside - surround_color(image, mask)) @ torch.tensor(LUMA)).item()


def edit_pixels(image: Tensor, mask: Tensor, color: str) -> list[Tensor]:
    """Make the edits of ``edits_of_scene`` by arithmetic on the pixels of a mask, without a model and a bound."""
    pixels = image.float() / 255
    mean = weighted_mean(pixels[None], mask[None])
    changes = [torch.full((3, 1, 1), alpha) for alpha in BRIGHTNESS]
    changes += [(alpha - 1) * (pixels - mean[0][:, None, None]) for alpha in CONTRAST]
    changes += [(toward_color(mean, torch.tensor(COLORS[color]), a) - mean)[0][:, None, None] for a in COLOR]
    return [(pixels + mask * change).clamp(0, 1) for change in changes]


def study(editor: SaliencyEditor, samples: Sequence[ObservedScene]) -> Iterator[Row]:
    """Yield the rows of the table; scenes without an object under the peak or with an empty region are left out."""
    pairs = analyse_scenes(editor, samples)[:SCENES]
    scenes, analyses = [s.scene for s, _ in pairs], [a for _, a in pairs]
    originals, regions = [scene.image for scene in scenes], [a.edit_mask for a in analyses]
    colors = [list(COLORS)[n % len(COLORS)] for n in range(len(pairs))]
    plain = [edits_of_scene(n) for n in range(len(pairs))]
    away = [edits_away(*x) for x in zip(originals, regions, strict=True)]

    def observer(image: Tensor, number: int) -> Tensor:
        return fixation_density(image, scenes[number].objects)

    def second_judge(image: Tensor, number: int) -> Tensor:
        saliency = spectral_residual(image)
        return saliency / saliency.sum()

    def rises(judge: Judge, wanted: list[list[Any]]) -> Tensor:
        return gaze_rises(judge, originals, [result.image for result in editor.apply(analyses, wanted)], regions)

    gains = rises(observer, plain)
    yield from _rows("observer, {}", PLAIN, gains, "p < 0.05, rises with strength", _rises_with_strength)
    lighter = torch.tensor([lightness_difference(*x) >= 0 for x in zip(originals, regions, strict=True)])
    for name, chosen in (("lighter", lighter), ("darker", ~lighter)):
        yield from _rows(f"– {chosen.sum()} regions {name} than their surround: {{}}", PLAIN[:1], gains[chosen, :3])
    yield from _rows("– {}", AWAY, rises(observer, away))
    objects = [s.peak.mask[None].float() for s, _ in pairs]
    ideal = [x for image in zip(originals, objects, colors, strict=True) for x in edit_pixels(*image)]
    yield from _rows("– {} in plain pixels, on the object", PLAIN, gaze_rises(observer, originals, ideal, objects))

    moved = editor.analyse(originals, [elsewhere(region, n) for n, region in enumerate(regions)])
    controls = [result.image for result in editor.apply(moved, plain)]
    apart = [region * (other.edit_mask == 0) for region, other in zip(regions, moved, strict=True)]
    control = gaze_rises(observer, originals, controls, apart)
    yield from _rows("observer, {} elsewhere", PLAIN, control, "no rise", _does_not_rise)
    null = rises(observer, [[Brightness(0.0)]] * len(pairs))
    yield "observer, null edit", f"{null.mean():+.3f}", "no rise", bool((null == 0).all())
    yield from _rows("spectral residual, {}", PLAIN, rises(second_judge, plain))


def elsewhere(mask: Tensor, number: int) -> Tensor:
    """Move the mask to the place of least overlap with itself, among twenty seeded places."""
    generator = torch.Generator().manual_seed(number)
    offsets = torch.randint(16, 112, (20, 2), generator=generator).tolist()
    return min((mask.roll(tuple(offset), (1, 2)) for offset in offsets), key=lambda m: (m * mask).sum().item())


def _rows(
    name: str,
    kinds: Sequence[str],
    rises: Tensor,
    bar: str = "",
    verdict: Callable[[FixationShift], bool] | None = None,
) -> Iterator[Row]:
    for kind, by_strength in zip(kinds, rises.split(3, dim=1), strict=True):
        shift = summarise_shift(by_strength)
        means = ", ".join(f"{at.mean:+.3f}" for at in shift.by_alpha)
        value = f"{means} (t = {shift.t:.1f}, p = {shift.p:.1g})"
        yield name.format(kind), value, bar, verdict(shift) if verdict else None


def _rises_with_strength(shift: FixationShift) -> bool:
    return shift.rises_with_alpha


def _does_not_rise(shift: FixationShift) -> bool:
    return shift.p_rise >= 0.05
