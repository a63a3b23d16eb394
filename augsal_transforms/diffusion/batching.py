"""Lists of images as batches: equal shapes together, as many as memory holds, noise that no batch changes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.randomness import keyed_generator, pixel_hash


class Batches:
    """Runs functions over items in batches of equal shape; what memory does not hold is halved, from then on.

    Args:
        size: How many items go together at first.
        filled: Whether a smaller batch is filled up with its last item: compiled networks then see one size.
    """

    def __init__(self, size: int, *, filled: bool = False) -> None:
        self.size, self.filled = size, filled

    def run(self, function: Callable[[list[Any]], list[Any]], items: list[Any], shapes: list[Any]) -> list[Any]:
        """``function`` over batches of ``items``, whose shapes these are; results in the items' order.

        Raises:
            torch.OutOfMemoryError: If memory does not hold one item.
        """
        results: dict[int, Any] = {}
        for shape in dict.fromkeys(shapes):
            left = [n for n, other in enumerate(shapes) if other == shape]
            while left:
                chunk = left[: self.size]
                made = self._attempt(function, [items[n] for n in chunk])
                results.update(zip(chunk, made, strict=False))  # none where memory ran out
                left = left[len(made) :]
        return [results[n] for n in range(len(items))]

    def _attempt(self, function: Callable[[list[Any]], list[Any]], batch: list[Any]) -> list[Any]:
        given = batch + batch[-1:] * (self.size - len(batch)) if self.filled else batch
        try:
            return function(given)[: len(batch)]
        except torch.OutOfMemoryError:
            if len(given) == 1:
                raise
        self.size = min(
            self.size, len(given) // 2
        )  # out here the error, whose traceback holds the batch's tensors, is gone
        warnings.warn(f"Memory does not hold a batch of {len(given)}; batches of {self.size} from here.", stacklevel=2)
        return []


def one_each(name: str, values: Any, items: Sequence[Any]) -> Sequence[Any]:
    """``values`` where there is one for each of ``items``.

    Raises:
        TypeError: If it is no list.
        ValueError: If it has another length.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"`{name}` must be a list with one entry per image, got {values!r}.")
    if len(values) != len(items):
        raise ValueError(f"`{name}` must have one entry per image, {len(items)}, got {len(values)}.")
    return values


def seeded_noise(images: list[Tensor], seeds: Sequence[int], latent: Tensor) -> Tensor:
    """ε per image from its own generator, drawn on the CPU: the same on any device and in any batch."""
    draws = [keyed_generator("noise", seed, pixel_hash(image)) for image, seed in zip(images, seeds, strict=True)]
    return torch.stack([torch.randn(latent.shape[1:], generator=generator) for generator in draws]).to(latent.device)
