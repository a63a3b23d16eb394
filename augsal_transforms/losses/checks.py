"""The checks at a loss's door: kinds and shapes at every call, values once per shape and dtype."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-3  # above 1, for rounding; in bfloat16 one step above 1 is more, 0.008
BELOW = 1e-6  # below 0, for the rounding of filters; taken for 0 before logarithms
OVERSHOOT = 0.15  # a bicubic resize leaves [0, 1] by this much at most

_OVERSHOOT_REMEDY = "Resize it bilinearly, or clamp it to [0, 1] after the resize"

_RESIZE = "Resize one to the other; SaliencyMap and EditMask follow `v2.Resize`."
_REMEDIES = {
    "prediction": "Apply a sigmoid to logits, take p / max p of a log density, divide 0–255 by 255",
    "edited_prediction": "Apply a sigmoid to logits, take p / max p of a log density, divide 0–255 by 255",
    "saliency_map": "Divide 8-bit maps by 255 and other maps by their maximum, and do not normalise them as images",
    "edited_saliency_map": "Divide 8-bit maps by 255 and other maps by their maximum",
    "edit_mask": "Divide an 8-bit mask by 255, and do not normalise it as an image",
    "properties": "Measure them on RGB in [0, 1], as `photometric_properties` does",
}


def check_maps(prediction: Tensor, **maps: Tensor) -> None:
    """Check that maps are tensors of one shape, (B, 1, H, W) or (B, H, W), with at least one pixel.

    Raises:
        TypeError: If one is no real tensor.
        ValueError: If a shape is wrong.
    """
    for name, values in {"prediction": prediction, **maps}.items():
        if not isinstance(values, Tensor) or values.is_complex():
            kind = f"a tensor of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(f"`{name}` must be a tensor of real numbers, got {kind}.")
    if prediction.ndim not in (3, 4) or (prediction.ndim == 4 and prediction.shape[1] != 1) or not prediction.numel():
        raise ValueError(
            f"`prediction` must be (B, 1, H, W) or (B, H, W) and not empty, got {tuple(prediction.shape)}."
        )
    for name, values in maps.items():
        if values.shape != prediction.shape:
            is_rows = values.ndim == prediction.ndim and values.shape[1:] == prediction.shape[1:]
            raise ValueError(
                f"`{name}` must be shaped like `prediction`, {tuple(prediction.shape)}, got {tuple(values.shape)}. "
                + ("Rows of the edited items alone need `is_edited`." if is_rows else _RESIZE)
            )


def spread_edited(prediction: Tensor, is_edited: Tensor | None, **maps: Tensor | None) -> list[Any]:
    """Maps of the edited items alone, (E, …), as ``collate_edited`` gives them, as maps of all items, (B, …).

    Items that are not edited get 0, which no loss looks at. Maps of all items are returned as they are.

    Raises:
        ValueError: If a map has neither a row for each item nor one for each edited item.
    """
    flags = is_edited if isinstance(is_edited, Tensor) and is_edited.dtype == torch.bool else None
    if flags is None or not isinstance(prediction, Tensor) or flags.shape != prediction.shape[:1]:
        return list(maps.values())  # what is wrong, if anything is, the checks that follow say
    return [_spread(name, values, flags) for name, values in maps.items()]


def _spread(name: str, values: Any, is_edited: Tensor) -> Any:
    count = len(is_edited)
    if not isinstance(values, Tensor) or values.ndim < 3 or len(values) == count:
        return values
    rows = is_edited.nonzero()[:, 0]
    if len(rows) != len(values):
        raise ValueError(
            f"`{name}` must have a row for each of the {count} items, or for each of the {len(rows)} that "
            f"`is_edited` says are edited, got {len(values)} rows."
        )
    return values.new_zeros((count, *values.shape[1:])).index_copy(0, rows.to(values.device), values)


class UnitRange:
    """Checks that values lie in [0, 1], once per argument, shape and dtype.

    Later calls cost a lookup in a set: no arithmetic and no wait for the device. Values that leave the range later, in
    tensors of a shape and dtype that was checked, are not found. Under ``torch.compile`` nothing is checked.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, torch.Size, torch.dtype]] = set()

    def __call__(self, name: str, values: Tensor, items: Tensor | None = None) -> None:
        """Check one argument.

        Args:
            name: The argument's name.
            values: Its values, (B, …).
            items: The items that count, (B,) bool; ``None`` is all. Without any, the check waits for the next call.

        Raises:
            ValueError: If a value is NaN or outside [0, 1].
        """
        if torch.compiler.is_compiling() or (name, values.shape, values.dtype) in self._seen:
            return
        chosen = values.detach() if items is None else values.detach()[items.to(values.device)]
        if not chosen.numel():
            return
        low, high = (bound.item() for bound in chosen.to(torch.promote_types(chosen.dtype, torch.float32)).aminmax())
        if low != low:
            raise ValueError(f"`{name}` must lie in [0, 1], got NaN. Look for the first layer whose output is NaN.")
        above = max(TOLERANCE, torch.finfo(values.dtype).eps if values.is_floating_point() else 0)
        if low < -BELOW or high > 1 + above:
            overshoots = low > -OVERSHOOT and high < 1 + OVERSHOOT
            raise ValueError(
                f"`{name}` must lie in [0, 1], got values in [{low:.4g}, {high:.4g}]. "
                f"{_OVERSHOOT_REMEDY if overshoots else _REMEDIES[name]}."
            )
        self._seen.add((name, values.shape, values.dtype))


def flatten_maps(maps: Tensor) -> Tensor:
    """(B, …) → (B, pixels), float32 or better."""
    return maps.flatten(1).to(torch.promote_types(maps.dtype, torch.float32))
