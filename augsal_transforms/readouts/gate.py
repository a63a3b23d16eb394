"""LLFR as a gate of edits: it estimates how far an edit moves each property from the features (Sec. 4.2).

The features are recorded in the source pass and the target pass of the edit. The gate needs no pass of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from augsal_transforms.config import EditConfig
from augsal_transforms.diffusion.model import DiffusionModel, check_finite
from augsal_transforms.readouts.features import embed_timestep, record_features
from augsal_transforms.readouts.readouts import Readouts


@contextmanager
def read_properties(model: DiffusionModel, readouts: Readouts | None) -> Iterator[Callable[[Tensor, Tensor], Tensor]]:
    """Record the features of the one pass of the U-Net that is made inside, for LLFR.

    The model's lock is held while the block runs.

    Args:
        model: The frozen model.
        readouts: The readouts; ``None`` records nothing.

    Yields:
        A function of latents (B, 4, h, w) and areas of interest (B, 1, h, w). Call it after the pass: it returns LLFR's
        properties (B, 6), or (B, 0) without readouts. The latent of an edit is Z_out, which is decoded, and not Z_E.
    """
    if readouts is None:
        yield lambda latent, areas: latent.new_zeros(len(latent), 0)
        return
    with model.lock, record_features(model.unet) as taps:
        yield lambda latent, areas: estimate_properties(readouts, model, taps, latent, areas)


def estimate_properties(
    readouts: Readouts, model: DiffusionModel, taps: list[Tensor], latent: Tensor, areas: Tensor
) -> Tensor:
    """Photometric properties by LLFR (Sec. 3.2).

    Args:
        readouts: The readouts.
        model: The frozen model.
        taps: Features of a pass, as ``record_features`` yields them.
        latent: Z, (B, 4, h, w).
        areas: Areas of interest, (B, 1, h, w), in [0, 1].

    Returns:
        (B, 6) in the order of ``PROPERTIES``.

    Raises:
        FloatingPointError: If a property is not finite.
    """
    low = readouts.low([tap.float() for tap in taps], embed_timestep(model, readouts.config.noise_level), latent)
    properties: Tensor = readouts.photometric(low, areas)[:, 0]
    check_finite(properties)
    return properties


def secant_strength(before: Tensor, after: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """The largest λ for which no property moves more than its bound, if all move evenly (Sec. 4.2).

    Args:
        before: LLFR's properties of the source, (B, 6).
        after: LLFR's properties of the edit at λ = 1, (B, 6).
        bounds: Largest move of each of ``PROPERTIES``, (6,).

    Returns:
        λ, (B,), in [0, 1], and the index of the property that bound it, (B,); −1 where λ = 1.

    Note:
        The paper lowers the strength and edits again until LLFR agrees. Here two points of each property are known,
        at λ = 0 and λ = 1, and the property is taken to be linear between them.
    """
    strength, index = (bounds / (after - before).abs().clamp(min=1e-12)).min(dim=1)
    return strength.clamp(max=1), torch.where(strength < 1, index, -1)


def check_gate(readouts: Readouts, config: EditConfig) -> None:
    """Refuse a configuration whose passes are not made at the noise level that the readouts were trained at.

    Raises:
        ValueError: If ``config`` has more than one step, or another noise level.
    """
    trained = readouts.config.noise_level
    if (config.steps, config.noise_level) != (1, trained):
        raise ValueError(
            f"`gate` reads one noise level, {trained}: `config` must have steps=1 and noise_level={trained}, "
            f"got steps={config.steps} and noise_level={config.noise_level}."
        )
