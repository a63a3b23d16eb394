"""Check the maps that a metric is given, and bring them into one form: (..., pixels), double precision, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
_remembered: ContextVar[dict[Any, Any] | None] = ContextVar("_remembered", default=None)

# Distinct values in a map of one image's fixations. SALICON's 8,000 fixations on an image give 4 at 640×480 and 84 at
# 16×16; its blurred maps, in 8 bits, have 220 and more at 160×120.
_MOST_COUNTS = 128
_ROUNDING = 1e-6  # of a map's maximum: smaller negative values come from filters and resizing
_COUNTS = ("fixation_map", "other_map")
_SHARED = ("other_map", "baseline")  # one map (H, W) may serve a whole batch


@contextmanager
def read_once() -> Iterator[None]:
    """Convert and sort each map once for all metrics in the block. Scores are the same to the bit.

    The maps must not be changed in the block.
    """
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def remember(name: str, work: Callable[[Tensor], Result], values: Tensor) -> Result:
    """``work(values)``, which ``read_once`` computes only the first time; ``name`` says which work it is."""
    known = _remembered.get()
    if known is None:
        return work(values)
    key = name, values.data_ptr(), values.device, values.dtype, values.shape, values.stride()
    if key not in known:
        known[key] = values, work(values)  # held, so that no other tensor takes its place in memory
    result: Result = known[key][1]
    return result


def read_maps(prediction: Tensor, **truths: Tensor) -> list[Tensor]:
    """The prediction and the maps that it is compared with, by name, as (..., pixels) float64 on the CPU.

    Each map is scaled by a power of two so that its largest absolute value lies in [0.5, 1): no metric depends on a
    map's scale, and squares and sums then stay in range. Counts keep their values. A map that is constant up to the
    rounding of its own type is made exactly constant.

    Raises:
        TypeError: If an argument is no dense, real tensor.
        ValueError: If a shape does not fit, or a fixation map does not hold counts.
    """
    for name, value in {"prediction": prediction, **truths}.items():
        _check_kind(name, value)
    if prediction.ndim < 2 or 0 in prediction.shape:
        raise ValueError(f"`prediction` must be (..., H, W) and not empty, got {tuple(prediction.shape)}.")
    for name, truth in truths.items():
        _check_shape(name, truth, prediction)
    maps = [remember("scale", _unit_scale, prediction)]
    for name, truth in truths.items():
        is_counted = name in _COUNTS
        maps.append(
            remember(name, partial(_counts, name), truth) if is_counted else remember("scale", _unit_scale, truth)
        )
    return [one.expand_as(maps[0]) for one in maps]


def check_density(name: str, image_map: Tensor) -> None:
    """Refuse a map with negative values where it is to be scaled to a sum of 1.

    Args:
        name: The argument's name.
        image_map: (..., pixels).

    Raises:
        ValueError: If a map has a negative value that is more than rounding.
    """
    low, high = image_map.amin(-1), image_map.amax(-1)
    if bool((low < -_ROUNDING * high.clamp(min=0)).any()):
        raise ValueError(
            f"`{name}` must not be negative here, because it is scaled to a sum of 1. Apply a sigmoid to logits, "
            "exp to a log density, and clamp(min=0) to what a filter left below 0."
        )


def is_constant(image_map: Tensor) -> Tensor:
    """``True`` for each map (..., pixels) that has one value; shaped (...,)."""
    return image_map.amax(-1) == image_map.amin(-1)


def _check_kind(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"`{name}` must be a tensor, got {type(value).__name__}; torch.as_tensor makes one.")
    if value.is_complex() or value.layout != torch.strided or value.is_quantized:
        raise TypeError(f"`{name}` must be a dense tensor of real numbers, got {value.dtype}, {value.layout}.")


def _check_shape(name: str, truth: Tensor, prediction: Tensor) -> None:
    shared = name in _SHARED and truth.shape == prediction.shape[-2:]
    if truth.shape != prediction.shape and not shared:
        raise ValueError(
            f"`{name}` must be shaped like `prediction`, {tuple(prediction.shape)}, got {tuple(truth.shape)}. Give "
            "both the same leading dimensions, resize the prediction to its image, and count fixations in the image's "
            "own pixels."
        )


def _flat(values: Tensor) -> Tensor:
    return values.detach().as_subclass(Tensor).cpu().double().flatten(-2)  # the CPU first: MPS has no float64


def _unit_scale(values: Tensor) -> Tensor:
    tolerance = min(32 * torch.finfo(values.dtype).eps, 1e-5) if values.is_floating_point() else 0
    flat = _flat(values)
    low, high = flat.amin(-1, keepdim=True), flat.amax(-1, keepdim=True)
    peak = torch.maximum(low.abs(), high.abs())
    flat = torch.where(peak.isfinite() & (high - low <= tolerance * peak), high, flat)
    exponent = torch.frexp(torch.where(peak.isfinite(), peak, 1)).exponent.clamp(-1000, 1000)
    return torch.ldexp(flat, -exponent)


def _counts(name: str, values: Tensor) -> Tensor:
    flat = _flat(values)
    wrong = ~((flat >= 0) & (flat == flat.floor()) & flat.isfinite())
    if bool(wrong.any()):
        raise ValueError(
            f"`{name}` must count fixations, in whole numbers from 0, got {flat[wrong][0].item():.6g}. A blurred map "
            "is a saliency map: compare it by CC, SIM or KLD, and count the fixations that it was made of."
        )
    if name == "fixation_map" and flat.max() > _MOST_COUNTS:
        distinct = max(len(item[item > 0].unique()) for item in flat.reshape(-1, flat.shape[-1]))
        if distinct > _MOST_COUNTS:
            raise ValueError(
                f"`{name}` must count the fixations of one image, got {distinct} different values, as a blurred map "
                "has. Count the fixations that the blurred map was made of."
            )
    return flat
