"""Lists of images as batches: one entry per image, equal shapes together, noise that no batch changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.randomness import keyed_generator, pixel_hash


def in_batches(function: Any, items: list[Any], shapes: list[tuple[int, int]], limit: int) -> list[Any]:
    """``function`` over batches of at most ``limit`` items of equal shape, results in the items' order."""
    results: dict[int, Any] = {}
    for shape in dict.fromkeys(shapes):
        indices = [n for n, other in enumerate(shapes) if other == shape]
        for chunk in (indices[n : n + limit] for n in range(0, len(indices), limit)):
            results.update(zip(chunk, function([items[n] for n in chunk]), strict=True))
    return [results[n] for n in range(len(items))]


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
