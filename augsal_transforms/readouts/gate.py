"""LLFR as a gate of edits: how far the features say that an edit moves each property (Sec. 4.2).

The passes that read an image and that make its edit are read as they run; no pass is made for the gate.
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
    """Read the features of the one pass of the U-Net that is made inside.

    Args:
        model: The frozen model.
        readouts: What reads them; ``None`` records nothing.

    Yields:
        A function of latents (B, 4, h, w) and areas of interest (B, 1, h, w), to be called after the pass:
        the properties that LLFR tells of each, (B, 6); of none, (B, 0), without readouts. For an edit the
        latent is Z_out, because that is decoded, and not Z_E.
    """
    if readouts is None:
        yield lambda latent, areas: latent.new_zeros(len(latent), 0)
        return
    with record_features(model.unet) as taps:
        yield lambda latent, areas: tell_properties(readouts, model, taps, latent, areas)


def tell_properties(
    readouts: Readouts, model: DiffusionModel, taps: list[Tensor], latent: Tensor, areas: Tensor
) -> Tensor:
    """What LLFR tells of taps, a latent (B, 4, h, w) and areas of interest (B, 1, h, w): (B, 6)."""
    low = readouts.low([tap.float() for tap in taps], embed_timestep(model, readouts.config.noise_level), latent)
    properties: Tensor = readouts.photometric(low, areas)[:, 0]
    check_finite(properties)
    return properties


def secant_strength(before: Tensor, after: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """The largest λ for which no property moves more than its bound, if all move evenly (Sec. 4.2).

    Args:
        before: What LLFR tells of the source, (B, 6).
        after: What it tells of the edit in full, (B, 6).
        bounds: (6,), the largest move of each of ``PROPERTIES``.

    Returns:
        λ, (B,), in [0, 1], and which property bound it, (B,); −1 where λ = 1.

    Note:
        The paper lowers the strength and edits again until LLFR agrees. One pass tells two points of a
        curve, so it is taken for the line through them.
    """
    strength, index = (bounds / (after - before).abs().clamp(min=1e-12)).min(dim=1)
    return strength.clamp(max=1), torch.where(strength < 1, index, -1)


def check_gate(readouts: Readouts, config: EditConfig) -> None:
    """Refuse edits whose passes are not made at the noise that the readouts know.

    Raises:
        ValueError: For more than one step, or another noise level.
    """
    level = readouts.config.noise_level
    if (config.steps, config.noise_level) != (1, level):
        raise ValueError(
            f"`gate` reads one noise level, {level}: `config` must have steps=1 and noise_level={level}, "
            f"got steps={config.steps} and noise_level={config.noise_level}."
        )
