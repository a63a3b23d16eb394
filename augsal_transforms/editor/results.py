"""An image to edit, its analysis, which all its edits share, and an edited image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.diffusion.batching import to_device
from augsal_transforms.diffusion.letterbox import Letterbox
from augsal_transforms.diffusion.prompts import Word
from augsal_transforms.editor.edits import Edit
from augsal_transforms.photometry import PROPERTIES
from augsal_transforms.randomness import keyed_generator, pixel_hash


@dataclass(frozen=True)
class Source:
    """An image to edit, with what was given beside it.

    Attributes:
        image: (3, H, W), uint8 or float in [0, 1].
        saliency_map: S, (1, H, W), in [0, 1].
        prompt: The caption, or "".
        seed: Seed of the noise and of the draws.
        letterbox: The image's place on the model's grid.
    """

    image: Tensor
    saliency_map: Tensor
    prompt: str
    seed: int
    letterbox: Letterbox

    def fit_saliency_map(self, cross_attention: Tensor) -> Tensor:
        """S at the resolution of C (…, h, w), on its device: (1, h, w)."""
        saliency_map = to_device(self.saliency_map, cross_attention.device)
        return self.letterbox.fit_map(saliency_map, (cross_attention.shape[-2], cross_attention.shape[-1]))


@dataclass(frozen=True)
class ImageAnalysis:
    """One image as the frozen model sees it; every edit of the image starts here.

    Attributes:
        source: The image, its map, caption and seed.
        origin: The model's folder, the number of steps and the noise level of the source pass.
        word: The word of Eq. 8, or ``None`` where there is none and M is the saliency map.
        cross_attention: C of each token, (tokens, h, w).
        region: M of Eq. 8 at attention resolution, (1, h, w), in [0, 1].
        edit_mask: M's ramp at the image's size, (1, H, W), in steps of 1/255.
        is_empty: Whether the edit mask is 0 everywhere.
        latent_mask: The same ramp at latent resolution, (1, 1, h, w).
        latent: Z, (1, 4, h, w).
        context: The encoded prompt, (1, tokens, D).
        trajectory: The noisy latent and its predicted noise at each timestep, least noisy first.
        decoded: D(Z) in [0, 1], (1, 3, H', W').
        properties: The six photometric properties inside the mask, (6,).
        readout_properties: The same properties as LLFR reads them, (6,); (0,) from an editor without a gate.
    """

    source: Source
    origin: tuple[str, int, float]
    word: Word | None
    cross_attention: Tensor
    region: Tensor
    edit_mask: Tensor
    is_empty: bool
    latent_mask: Tensor
    latent: Tensor
    context: Tensor
    trajectory: list[tuple[Tensor, Tensor]]
    decoded: Tensor
    properties: Tensor
    readout_properties: Tensor

    @property
    def draws(self) -> torch.Generator:
        """A generator of the draws of this image's edits, keyed on its seed and its pixels."""
        return keyed_generator("edits", self.source.seed, pixel_hash(self.source.image))

    def draw(self, edits: Sequence[Edit]) -> list[Edit]:
        """Edits with every α drawn."""
        draws = self.draws
        return [edit.draw(draws) for edit in edits]


@dataclass(frozen=True)
class Trial:
    """A candidate that a ``SaliencyGate`` tried.

    Attributes:
        kind: Name of its kind.
        color: The target colour's name, or "".
        alpha: α, the editing strength asked for.
        strength: The part of the edit that the two-sigma rule allowed, in [0, 1].
        rise: Logarithm of the region's share of predicted gaze after the edit to the share before it.
    """

    kind: str
    color: str
    alpha: float
    strength: float
    rise: float

    @classmethod
    def of(cls, result: EditedImage, rise: float) -> Trial:
        """The metadata of an edit with its rise."""
        return cls(result.kind, result.color, result.alpha, result.strength, rise)


@dataclass(frozen=True, repr=False)
class EditedImage:
    """An edited image and the metadata of its edit.

    Attributes:
        image: (3, H, W), with the type and size of the input; equal to it, to the bit, where ``edit_mask`` is 0.
        edit_mask: (1, H, W) float32 in [0, 1], the mask that composited; zeros where nothing was edited.
        region: M of Eq. 8 at attention resolution, (1, h, w).
        kind: Name of the edit's kind, a key of ``KINDS``.
        color: The target colour's name, or "".
        word: The word whose region was edited, or "".
        region_source: ``"word"``, or ``"saliency_map"`` where the caption names nothing.
        alpha: α, the editing strength asked for.
        strength: λ, the part of the edit that the two-sigma rule allowed, in [0, 1].
        bound_by: The property that limits ``strength``, with " (LLFR)" where the gate's reading limits it and not
            the pixels; ``"empty region"`` where there was nothing to edit; "" where nothing limits it.
        properties_before: The six photometric properties inside the mask, before the edit.
        properties_after: The same properties after the edit.
        seed: Seed of the noise and of the draws.
        rise: Logarithm of the region's share of predicted gaze after the edit to the share before it; ``None``
            without a ``SaliencyGate``. Of an image that was not raised, the largest that was reached.
        tried: The candidates that a ``SaliencyGate`` tried for this image, in their order.
    """

    image: Tensor
    edit_mask: Tensor
    region: Tensor
    kind: str
    color: str
    word: str
    region_source: str
    alpha: float
    strength: float
    bound_by: str
    properties_before: dict[str, float]
    properties_after: dict[str, float]
    seed: int
    rise: float | None = None
    tried: tuple[Trial, ...] = ()

    @property
    def is_edited(self) -> bool:
        """Whether any pixel could change."""
        return bool(self.edit_mask.max() > 0)

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        asked = f"kind={self.kind!r}, color={self.color!r}, word={self.word!r}, alpha={self.alpha:g}"
        allowed = f"strength={self.strength:.3g}, bound_by={self.bound_by!r}"
        return f"EditedImage({asked}, {allowed}, size={height}×{width})"


def unedited(analysis: ImageAnalysis, edit: Edit) -> EditedImage:
    """The result of an edit that changes nothing: a null edit, or one whose region is empty."""
    properties = _by_name(analysis.properties.tolist())
    return EditedImage(
        **_metadata(analysis, edit),
        image=analysis.source.image,
        edit_mask=torch.zeros_like(analysis.edit_mask, device=analysis.source.image.device),
        strength=0.0 if analysis.is_empty else 1.0,
        bound_by="empty region" if analysis.is_empty else "",
        properties_before=properties,
        properties_after=properties,
    )


def not_raised(analysis: ImageAnalysis, edit: Edit, tried: tuple[Trial, ...]) -> EditedImage:
    """The result where a ``SaliencyGate`` let no candidate pass: the image unedited, named by the best candidate."""
    best = max(tried, key=lambda trial: trial.rise)
    kept = replace(unedited(analysis, edit), strength=0.0, bound_by="not raised", tried=tried)
    return replace(kept, kind=best.kind, color=best.color, alpha=best.alpha, rise=best.rise)


def edited(analysis: ImageAnalysis, edit: Edit, image: Tensor, measurements: list[float]) -> EditedImage:
    """The result of an edit.

    Args:
        analysis: The analysis of the image.
        edit: The edit, drawn.
        image: The edited image, (3, H, W).
        measurements: From ``bounded_edit``, as 14 numbers.
    """
    strength, bound, *properties = measurements
    before, after = properties[: len(PROPERTIES)], properties[len(PROPERTIES) :]
    bounds = [*PROPERTIES, *(f"{name} (LLFR)" for name in PROPERTIES)]
    return EditedImage(
        **_metadata(analysis, edit),
        image=image.to(analysis.source.image.device),
        edit_mask=analysis.edit_mask.to(analysis.source.image.device),
        strength=strength,
        bound_by=bounds[int(bound)] if bound >= 0 else "",
        properties_before=_by_name(before),
        properties_after=_by_name(after),
    )


def _metadata(analysis: ImageAnalysis, edit: Edit) -> dict[str, Any]:
    return {
        "region": analysis.region.to(analysis.source.image.device),
        "kind": edit.kind,
        "color": edit.color_name,
        "word": analysis.word.text if analysis.word else "",
        "region_source": "word" if analysis.word else "saliency_map",
        "alpha": edit.alpha_value,
        "seed": analysis.source.seed,
    }


def _by_name(properties: list[float]) -> dict[str, float]:
    return dict(zip(PROPERTIES, properties, strict=True))
