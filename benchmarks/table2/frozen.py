"""A gaze network on frozen features: a few convolutions, trained in seconds, above an encoder that is never trained.

As in DeepGaze IIE, the backbone stays as it was pretrained. Its features of every photograph and every edit are
computed once, so a training on photographs costs a small head alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augsal_transforms.adapters._hook import peak
from augsal_transforms.randomness import keyed_generator
from table2.compact_models import CentreBias, upsample
from table2.trial import normalise

Features = list[Tensor]  # (N, C, h, w), one for each depth, from fine to coarse
Compute = Callable[[Tensor], Features]


class FrozenHead(nn.Module):
    """Features (B, C, h, w) of several depths → S′, (B, 1, h, w) at the finest, in [0, 1] with a maximum of 1.

    There is no batch normalisation: features are standardised by the statistics of the training photographs, so the
    prediction for an image does not depend on the rest of the batch.

    Args:
        channels: Number of channels at each depth, from fine to coarse.
        width: Number of channels inside the head.
    """

    def __init__(self, channels: Sequence[int], width: int = 32) -> None:
        super().__init__()
        for n, count in enumerate(channels):
            self.register_buffer(f"mean_{n}", torch.zeros(count, 1, 1))
            self.register_buffer(f"std_{n}", torch.ones(count, 1, 1))
        self.laterals = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.mixes = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in channels[1:])  # the coarsest needs none
        self.spread = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.readout = nn.Conv2d(width, 1, 1)
        self.centre_bias = CentreBias()

    def standardise(self, features: Features) -> None:
        """Take mean and standard deviation of each channel from the features of the training photographs."""
        for n, maps in enumerate(features):
            std, mean = torch.std_mean(maps.float(), dim=(0, 2, 3))
            getattr(self, f"mean_{n}").copy_(mean[:, None, None])
            getattr(self, f"std_{n}").copy_(std[:, None, None].clamp(min=1e-3))

    def forward(self, features: Features, kept: Features | None = None) -> Tensor:
        """Predict.

        Args:
            features: Features of the images, from fine to coarse.
            kept: For each depth the weight of every channel, (B, C, 1, 1), as ``draw_kept`` makes; ``None`` is 1.
        """
        merged: Tensor | None = None
        for n in reversed(range(len(features))):
            maps = (features[n].float() - getattr(self, f"mean_{n}")) / getattr(self, f"std_{n}")
            lateral = self.laterals[n](maps if kept is None else maps * kept[n])
            merged = lateral if merged is None else lateral + upsample(merged, lateral)
            merged = merged.relu() if n == len(features) - 1 else self.mixes[n](merged.relu()).relu()
        logits: Tensor = self.readout(self.spread(merged))
        return peak(logits + self.centre_bias(logits))


def draw_kept(channels: Sequence[int], batch_size: int, dropout: float, generator: torch.Generator) -> Features:
    """Draw which channels a head sees (dropout of whole channels), (B, C, 1, 1) for each depth."""
    draws = (torch.rand(batch_size, count, 1, 1, generator=generator) for count in channels)
    return [(drawn >= dropout).float() / (1 - dropout) for drawn in draws]


@torch.no_grad()
def compute_features(encoder: nn.Module, images: Tensor, batch_size: int = 20) -> Features:
    """Features of images (N, 3, H, W), uint8, by a frozen encoder: a list of (N, C, h, w), float16."""
    computed = [[maps.half() for maps in encoder(normalise(batch))] for batch in images.split(batch_size)]
    return [torch.cat(maps) for maps in zip(*computed, strict=True)]


def pick(features: Features, rows: Tensor) -> Features:
    """The features of some images, by their rows."""
    return [maps[rows] for maps in features]


@dataclass(frozen=True, kw_only=True)
class HeadRecipe:
    """Settings that all variants of a comparison share.

    Attributes:
        steps: Number of optimiser steps.
        batch_size: Original photographs in a batch; edited ones are added to them.
        learning_rate: Largest learning rate of AdamW; it falls along a cosine to 0.
        weight_decay: Weight decay of AdamW.
        dropout: Chance that a channel of the features is left out in a step, in [0, 1); an edited image misses the
            same channels as its original.
    """

    steps: int = 100
    batch_size: int = 8
    learning_rate: float = 1e-2
    weight_decay: float = 1e-3
    dropout: float = 0.3


def orders(count: int, seed: int, recipe: HeadRecipe) -> Iterator[Tensor]:
    """Yield the rows of the photographs in each step's batch; each epoch has its own order."""
    order, shuffle = list[int](), keyed_generator("order", seed)
    for _ in range(recipe.steps):
        while len(order) < recipe.batch_size:
            order += torch.randperm(count, generator=shuffle).tolist()
        rows, order = order[: recipe.batch_size], order[recipe.batch_size :]
        yield torch.tensor(rows)


def fit(
    head: FrozenHead, loss_of: Callable[[FrozenHead, int, Tensor, Features], Tensor], count: int, seed: int,
    recipe: HeadRecipe,
) -> FrozenHead:  # fmt: skip
    """Train a head.

    Args:
        head: The head, with initial weights.
        loss_of: Function of the head, the step, the rows of the batch, and the channels kept; it returns the loss.
        count: Number of photographs to train on.
        seed: Seed of batches and dropout, which are the same for every variant.
        recipe: Settings of the training.
    """
    optimizer = torch.optim.AdamW(head.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    channels = [lateral.in_channels for lateral in head.laterals]
    for step, rows in enumerate(orders(count, seed, recipe)):
        kept = draw_kept(channels, len(rows), recipe.dropout, keyed_generator("kept", seed, step))
        loss = loss_of(head, step, rows, kept)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return head.eval()


def resize_density(prediction: Tensor, size: tuple[int, int]) -> Tensor:
    """Predictions (N, 1, h, w) at another size."""
    return F.interpolate(prediction, size, mode="bilinear", align_corners=False)
