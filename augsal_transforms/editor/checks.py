"""Checks of the editor's arguments: options, maps, captions, seeds, edits and analyses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from augsal_transforms.config import EditConfig
from augsal_transforms.data.captions import to_caption
from augsal_transforms.diffusion.batching import check_seeds, one_each
from augsal_transforms.diffusion.calibration import Calibration
from augsal_transforms.diffusion.letterbox import Letterbox, check_images, resize
from augsal_transforms.editor.edits import KINDS, Edit
from augsal_transforms.editor.results import ImageAnalysis, Source
from augsal_transforms.editor.saliency_gate import SaliencyGate
from augsal_transforms.photometry import to_unit_range
from augsal_transforms.readouts.readouts import Readouts

Wanted = Sequence[Edit | Sequence[Edit]]  # one edit per image, or several of an image


def check_options(*, config: Any, calibration: Any, gate: Any) -> None:
    """Refuse an editor's options if one has the wrong type; ``None`` stands for a default.

    Raises:
        TypeError: If ``config``, ``calibration`` or ``gate`` is of another type.
    """
    if config is not None and not isinstance(config, EditConfig):
        raise TypeError(f"`config` must be an EditConfig, got {config!r}. Write `EditConfig(steps=1)`.")
    if calibration is not None and not isinstance(calibration, Calibration):
        raise TypeError(f"`calibration` must be a Calibration, got {calibration!r}. `calibrate` measures one.")
    if gate is not None and not isinstance(gate, (str, Path, Readouts)):
        raise TypeError(f"`gate` must be Readouts, 'bundled', a folder of readouts or None, got {gate!r}.")


def check_sources(
    images: Any, saliency_maps: Any, prompts: Any, seed: Any, resolution: int, multiple: int
) -> list[Source]:
    """The images to edit, each with its map, caption and seed, placed on the model's grid.

    Args:
        images: As in ``SaliencyEditor.analyse``.
        saliency_maps: As in ``SaliencyEditor.analyse``.
        prompts: As in ``SaliencyEditor.analyse``.
        seed: As in ``SaliencyEditor.analyse``.
        resolution: Side of the square whose area an image is resized to, in pixels.
        multiple: Divisor of the sides of the grid, in pixels.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If a number of entries, a shape or a range is wrong.
    """
    images = [image.as_subclass(Tensor) for image in check_images(images)]  # not `tv_tensors`: results are plain
    letterboxes = [Letterbox.plan((image.shape[-2], image.shape[-1]), resolution, multiple) for image in images]
    maps, captions = check_saliency_maps(saliency_maps, images), check_prompts(prompts, images)
    given = zip(images, maps, captions, check_seeds(seed, images), letterboxes, strict=True)
    return [Source(*one) for one in given]


def check_saliency_maps(saliency_maps: Any, images: list[Tensor]) -> list[Tensor]:
    """Saliency maps as a list of float32 (1, H, W) in [0, 1], on their images' devices and of their sizes.

    Args:
        saliency_maps: A list of (1, H, W) tensors or a batch (B, 1, H, W).
        images: Their images, each (3, H, W).

    Raises:
        TypeError: If they are not real tensors.
        ValueError: If their number, shape or range is wrong.
    """
    if not isinstance(saliency_maps, (Tensor, list, tuple)) or getattr(saliency_maps, "ndim", 1) == 0:
        raise TypeError(
            f"`saliency_maps` must be a list of (1, H, W) tensors or a batch (B, 1, H, W), got "
            f"{type(saliency_maps).__name__}. Write `[saliency_map]` for one image."
        )
    if len(saliency_maps) != len(images):
        raise ValueError(f"`saliency_maps` must be one per image, {len(images)}, got {len(saliency_maps)}.")
    pairs = zip(saliency_maps, images, strict=True)
    return [_check_saliency_map(f"saliency_maps[{n}]", *pair) for n, pair in enumerate(pairs)]


def _check_saliency_map(name: str, saliency_map: Any, image: Tensor) -> Tensor:
    if not isinstance(saliency_map, Tensor):
        raise TypeError(
            f"`{name}` must be a tensor (1, H, W), got {type(saliency_map).__name__}. Convert a PIL image or an array: "
            "`v2.functional.to_image(saliency_map)`."
        )
    if saliency_map.is_complex():
        raise TypeError(f"`{name}` must hold real numbers, got {saliency_map.dtype}.")
    shape = tuple(saliency_map.shape)
    if len(shape) != 3 or shape[0] != 1 or 0 in shape:
        hint = {2: "Add the channel: `saliency_map[None]`.", 4: "Take the batch apart: one (1, H, W) per image."}
        advice = hint.get(len(shape), "A map has one channel and no side of 0.")
        raise ValueError(f"`{name}` must have shape (1, H, W), got {shape}. {advice}")
    unit = to_unit_range(saliency_map)
    if not bool(((unit >= 0) & (unit <= 1)).all()):
        low, high = unit.min().item(), unit.max().item()
        advice = "Divide it by its maximum."
        if not math.isfinite(high):
            advice = "Replace NaN and infinity where the map is made."
        elif low < 0:
            advice = "Log densities need `exp`, then a division by the maximum; overshoots of a resize need `clamp`."
        raise ValueError(f"`{name}` must be finite and lie in [0, 1], got values in [{low:.3g}, {high:.3g}]. {advice}")
    return resize(unit.to(image.device), (image.shape[-2], image.shape[-1])).clamp(0, 1)


def check_prompts(prompts: Any, images: Sequence[Tensor]) -> list[str]:
    """One caption per image, "" where there is none.

    Raises:
        TypeError: If ``prompts`` is no list, or an entry is no caption.
        ValueError: If there is not one per image.
    """
    if prompts is None:
        return [""] * len(images)
    return [to_caption(prompt, f"prompts[{n}]") for n, prompt in enumerate(one_each("prompts", prompts, images))]


def check_edits(edits: Any, images: Sequence[Any], saliency_gate: Any = None) -> list[list[Edit]]:
    """The edits of each image.

    Raises:
        TypeError: If ``edits`` holds anything but edits and lists of them, or ``saliency_gate`` is of another type.
        ValueError: If there is not one entry per image, or an image without an edit where a gate is to choose one.
    """
    if not isinstance(saliency_gate, (SaliencyGate, type(None))):
        raise TypeError(f"`saliency_gate` must be a SaliencyGate or None, got {type(saliency_gate).__name__}.")
    if isinstance(edits, (list, tuple)) and len(edits) != len(images):
        raise ValueError(
            f"`edits` must have one entry per image, {len(images)}, got {len(edits)}. "
            "Several edits of one image are one entry: `[[Contrast(), Brightness()]]`."
        )
    entries = one_each("edits", edits, images)
    lists = [list(entry) if isinstance(entry, (list, tuple)) else [entry] for entry in entries]
    for n, entry in enumerate(lists):
        for edit in entry:
            if isinstance(edit, type) and issubclass(edit, Edit):
                raise TypeError(f"`edits[{n}]` must hold edits, got the class {edit.__name__}: `{edit.__name__}()`.")
            if not isinstance(edit, Edit):
                names = ", ".join(kind.__name__ for kind in KINDS.values())
                raise TypeError(f"`edits[{n}]` must hold edits ({names}), got {edit!r}.")
        if saliency_gate is not None and not entry:
            raise ValueError(f"`edits[{n}]` must hold an edit, of which `saliency_gate` can choose one, got none.")
    return lists


def check_analyses(analyses: Any, origin: tuple[object, ...], *, has_gate: bool) -> list[ImageAnalysis]:
    """Refuse analyses of another model, of other noise levels, or without the readings that a gate needs.

    Args:
        analyses: The result of ``analyse``.
        origin: ``ImageAnalysis.origin`` of the editor's own.
        has_gate: Whether the editor has a gate.

    Raises:
        TypeError: If they are no list of analyses.
        ValueError: If another editor made them, whose results do not fit this one.
    """
    if not isinstance(analyses, (list, tuple)) or not all(isinstance(one, ImageAnalysis) for one in analyses):
        raise TypeError(f"`analyses` must be the list that `analyse` returned, got {type(analyses).__name__}.")
    if any(analysis.origin != origin for analysis in analyses):
        raise ValueError(
            "`analyses` must come from an editor with the same model, `steps` and `noise_level` as this one: "
            "call its own `analyse` on the images."
        )
    if has_gate and not all(len(analysis.readout_properties) for analysis in analyses):
        raise ValueError(
            "`analyses` must come from an editor with a `gate`, as this one is: call its own `analyse` on the images."
        )
    return list(analyses)
