"""Low- and high-level features from the decoder of the U-Net (Sec. 3.1).

The taps are the residual branches of the decoder's blocks; two aggregators mix them, one initialised
toward the late blocks, where photometric detail is, one toward the early ones, where semantics are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augsal_transforms.diffusion.forwards import replaced_forwards
from augsal_transforms.diffusion.model import DiffusionModel

INITIAL_FAVOUR = 2.0  # added to the mixing logits of the favoured blocks: e² times the weight of each other block


def decoder_convolutions(unet: nn.Module) -> list[list[nn.Conv2d]]:
    """The second convolution of every residual block of the decoder, by up block, first to last.

    Raises:
        RuntimeError: If there is none.
    """
    blocks = [[resnet.conv2 for resnet in block.resnets] for block in getattr(unet, "up_blocks", [])]
    if not any(blocks):
        raise RuntimeError("This U-Net has no residual blocks in its decoder (`up_blocks`), so it has no features.")
    return blocks


@contextmanager
def record_features(unet: nn.Module) -> Iterator[list[Tensor]]:
    """Record the decoder's features during a forward pass: each residual branch before its skip is added.

    Args:
        unet: A diffusers ``UNet2DConditionModel``; its model's lock must be held.

    Yields:
        A list that fills as the U-Net runs: one (B, C_k, h_k, w_k) per residual block, first to last.
    """
    taps: list[Tensor] = []

    def recording(convolution: nn.Module, own: Callable[[Tensor], Tensor] | None, features: Tensor) -> Tensor:
        # Not `convolution.forward` from outside: a bound method is another object each time, and compiled anew.
        output: Tensor = own(features) if own else type(convolution).forward(convolution, features)
        taps.append(output)
        return output

    convolutions = [conv for block in decoder_convolutions(unet) for conv in block]
    with replaced_forwards({conv: partial(recording, conv, vars(conv).get("forward")) for conv in convolutions}):
        yield taps


def decoder_features(
    model: DiffusionModel, latent: Tensor, noise: Tensor, context: Tensor, noise_level: float
) -> tuple[list[Tensor], Tensor]:
    """The taps of one pass of the frozen U-Net on a noisy latent.

    Args:
        model: The frozen model.
        latent: Z, (B, 4, h, w).
        noise: ε, shaped like ``latent``.
        context: The encoded prompts, (B, tokens, D).
        noise_level: The timestep as a share of the training timesteps, in (0, 1).

    Returns:
        The taps, float32, and the timestep's embedding, (1, D).
    """
    timestep = model.timesteps(1, noise_level)[-1]
    noisy = model.step(latent, noise, None, timestep)
    with model.lock, torch.no_grad(), record_features(model.unet) as taps:
        model.predict_noise(noisy, timestep, context)
    return [tap.float() for tap in taps], embed_timestep(model, noise_level)


@torch.no_grad()
def embed_timestep(model: DiffusionModel, noise_level: float) -> Tensor:
    """The U-Net's embedding of the timestep of a noise level, (1, D), float32."""
    timestep = torch.tensor([model.timesteps(1, noise_level)[-1]], device=model.device)
    with model.lock:
        embedding: Tensor = model.unet.time_embedding(model.unet.time_proj(timestep).to(model.unet.dtype))
    return embedding.float()


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions beside a skip, conditioned on the timestep, on one tap at its own resolution.

    Args:
        channels: C_k, the tap's number of channels.
        width: C, the number of channels of the result; inside there is a quarter of it.
        time_channels: Size of the U-Net's timestep embedding.
    """

    def __init__(self, channels: int, width: int, time_channels: int) -> None:
        super().__init__()
        inner = width // 4
        self.reduce = _convolution(channels, inner, 1)
        self.time = nn.Linear(time_channels, inner)
        self.mix = _convolution(inner, inner, 3)
        self.expand = _convolution(inner, width, 1)
        self.skip = _convolution(channels, width, 1)

    def forward(self, tap: Tensor, time_embedding: Tensor) -> Tensor:
        """(B, C_k, h_k, w_k) and (B or 1, time channels) → (B, C, h_k, w_k)."""
        hidden = self.reduce(tap).relu() + self.time(time_embedding).relu()[:, :, None, None]
        hidden = self.expand(self.mix(hidden).relu())
        features: Tensor = (hidden + self.skip(tap)).relu()
        return features


def _convolution(channels: int, width: int, kernel: int) -> nn.Sequential:
    groups = next(groups for groups in (32, 16, 8, 4, 2, 1) if width % groups == 0 and width // groups > 1)
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False), nn.GroupNorm(groups, width)
    )


class Aggregator(nn.Module):
    """Mix the decoder's taps into one feature map at the latent's size (Sec. 3.1).

    Args:
        tap_channels: C_k of each tap, by up block.
        width: C, the number of channels of the result.
        time_channels: Size of the U-Net's timestep embedding.
        favour: Half of the up blocks that weighs more at first, ``"early"`` or ``"late"``.
        latent_channels: Channels of Z, of which a 1×1 convolution is added; 0 adds none. Photometric properties are
            nearly linear in Z, while the taps come from a noisy latent.
    """

    def __init__(
        self,
        tap_channels: Sequence[Sequence[int]],
        width: int,
        time_channels: int,
        *,
        favour: str,
        latent_channels: int = 0,
    ) -> None:
        super().__init__()
        if favour not in ("early", "late"):
            raise ValueError(f"`favour` must be 'early' or 'late', got {favour!r}.")
        self.bottlenecks = nn.ModuleList(
            Bottleneck(channels, width, time_channels) for block in tap_channels for channels in block
        )
        half = len(tap_channels) // 2
        favoured = range(half) if favour == "early" else range(len(tap_channels) - half, len(tap_channels))
        logits = [INITIAL_FAVOUR * (n in favoured) for n, block in enumerate(tap_channels) for _ in block]
        self.logits = nn.Parameter(torch.tensor(logits))
        self.latent = nn.Conv2d(latent_channels, width, 1) if latent_channels else None

    def forward(self, taps: Sequence[Tensor], time_embedding: Tensor, latent: Tensor) -> Tensor:
        """The taps, the timestep's embedding (B or 1, D) and Z (B, 4, h, w) → (B, C, h, w)."""
        size = (latent.shape[-2], latent.shape[-1])
        mixed = latent.new_zeros(()) if self.latent is None else self.latent(latent)
        for weight, bottleneck, tap in zip(self.logits.softmax(0), self.bottlenecks, taps, strict=True):
            aggregated = bottleneck(tap, time_embedding)
            mixed = mixed + weight * F.interpolate(aggregated, size, mode="bilinear", align_corners=False)
        return mixed
