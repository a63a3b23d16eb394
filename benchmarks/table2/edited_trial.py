"""Train a small network on a frozen encoder's features with edits, and measure it on edited scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augsal_transforms.losses import GazeChangeLoss, MaskedEditingLoss, SaliencyLoss
from augsal_transforms.metrics import cc
from augsal_transforms.randomness import keyed_generator
from augsal_transforms.readouts.gaze_network import TAPS
from table2.edited_set import EditedSet, edits_by_scene
from table2.trial import PRESET

CHANGED = 0.02  # log change of the region's share of gaze from which on its direction counts
SMALLEST = 1e-6  # share of gaze


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way of training.

    Attributes:
        name: Name in tables and on the command line.
        loss: ``"none"``, no edit at all; ``"bce"`` (Eq. 7) or ``"rank"``, ``MaskedEditingLoss`` of this form;
            ``"change"``, ``GazeChangeLoss``; ``"map"``, the edited prediction against the edited map; ``"same map"``,
            against the original's map, as if the edit were a plain augmentation.
        weight: Weight of this loss beside ``SaliencyLoss`` of the originals.
        source: Whose maps are the target: the ``"predictor"``'s or the ``"observer"``'s.
    """

    name: str
    loss: Literal["none", "bce", "rank", "change", "map", "same map"]
    weight: float = 1.0
    source: Literal["predictor", "observer"] = "predictor"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings that all variants share.

    Attributes:
        steps: Number of optimiser steps.
        batch_size: Originals in a batch; edited images are added to them.
        p: Chance that an original is edited.
        learning_rate: Largest learning rate of AdamW; it rises to it along a cosine, and falls.
        warm_up: Share of the steps in which the learning rate rises.
        weight_decay: Weight decay of AdamW.
    """

    steps: int = 150
    batch_size: int = 8
    p: float = 0.5
    learning_rate: float = 3e-3
    warm_up: float = 0.1
    weight_decay: float = 1e-3


class Head(nn.Module):
    """Features at strides 4, 8, 16 and 32 to maps at stride 4, (B, 1, h, w), scaled to a maximum of 1.

    The features are merged from coarse to fine; a Gaussian about the centre with learned widths is added.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in TAPS.values())
        self.merges = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.SiLU()) for _ in TAPS
        )
        self.readout = nn.Conv2d(width, 1, 1)
        self.log_width = nn.Parameter(torch.zeros(2))

    def forward(self, features: list[Tensor]) -> Tensor:
        *finer, coarsest = features
        merged = self.merges[-1](self.laterals[-1](coarsest))
        for number, stage in reversed(list(enumerate(finer))):
            upsampled = F.interpolate(merged, stage.shape[-2:], mode="bilinear", align_corners=False)
            merged = self.merges[number](self.laterals[number](stage) + upsampled)
        y, x = (torch.linspace(-1, 1, length) for length in merged.shape[-2:])
        height, width = self.log_width.exp()
        log_map = self.readout(merged) - ((y[:, None] / height) ** 2 + (x[None, :] / width) ** 2) / 2
        return (log_map - log_map.amax((-2, -1), keepdim=True)).exp()


class EditedScenes:
    """An edited set with all of its maps at the resolution of the network's maps."""

    def __init__(self, data: EditedSet) -> None:
        self.size = data.fine.shape[-1]
        self.features, self.scenes, self.edits = data.features, data.scenes, edits_by_scene(data)
        self.saliency_maps, self.edit_masks = self._shrink(data.saliency_maps), self._shrink(data.edit_masks)
        self.known = {"observer": self._shrink(data.densities), "predictor": self._shrink(data.predictions)}
        self.true_maps = self._shrink(data.true_maps)

    def _shrink(self, maps: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(maps.float(), self.size) if maps.numel() else maps

    def rows(self, rows: Tensor) -> list[Tensor]:
        """Features of some images."""
        return [stage[rows].float() for stage in self.features]

    def changes(self, maps: Tensor) -> Tensor:
        """The log change of each region's share of gaze, (E,), of maps (N + E, 1, h, w)."""
        before, after = maps.split([len(self.edits), len(self.scenes)])
        return change_of_gaze(before[self.scenes], after, self.edit_masks)

    @torch.no_grad()
    def score(self, head: Head) -> dict[str, float]:
        """Metrics on unedited and on edited scenes, and how well the change of gaze is predicted."""
        count = len(self.edits) + len(self.scenes)
        maps = torch.cat([head(self.rows(rows)) for rows in torch.arange(count).split(64)])
        predicted, true = self.changes(maps), self.changes(self.known["observer"])
        return {
            "cc": cc(maps[: len(self.edits)], self.saliency_maps, preset=PRESET).mean().item(),
            "cc_edited": cc(maps[len(self.edits) :], self.true_maps, preset=PRESET).mean().item(),
            **agreement(predicted, true),
            "error": (predicted - true).square().mean().sqrt().item(),
            "size": (predicted.std() / true.std()).item(),
        }

    def train(self, variant: Variant, seed: int, recipe: Recipe) -> Head:
        """Train a network; equal seeds mean equal initial weights, batches and edits for every variant."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            head = Head().train()
        optimizer = torch.optim.AdamW(
            head.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=recipe.warm_up
        )
        order, shuffle = list[int](), keyed_generator("order", seed)
        for step in range(recipe.steps):
            while len(order) < recipe.batch_size:
                order += torch.randperm(len(self.edits), generator=shuffle).tolist()
            batch, order = torch.tensor(order[: recipe.batch_size]), order[recipe.batch_size :]
            loss = self._loss(head, variant, batch, self._draw(batch, recipe.p, keyed_generator("edit", seed, step)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return head.eval()

    def _draw(self, batch: Tensor, p: float, generator: torch.Generator) -> Tensor:
        """An edit of each original, or −1 for none, (B,)."""
        draws = torch.rand(2, len(batch), generator=generator).tolist()
        drawn = []
        for number, toss, place in zip(batch.tolist(), *draws, strict=True):
            edits = self.edits[number]
            drawn.append(int(edits[int(place * len(edits))]) if toss < p and len(edits) else -1)
        return torch.tensor(drawn)

    def _loss(self, head: Head, variant: Variant, batch: Tensor, edits: Tensor) -> Tensor:
        base, kept = SaliencyLoss(), edits >= 0
        edited, count = edits[kept], len(batch)
        if variant.loss == "none" or not len(edited):
            return base(head(self.rows(batch)), self.saliency_maps[batch])
        rows = torch.cat([batch, len(self.edits) + edited])
        prediction, after = head(self.rows(rows)).split([count, len(edited)])
        loss, share = base(prediction, self.saliency_maps[batch]), len(edited) / count
        before, mask = prediction[kept], self.edit_masks[edited]
        if variant.loss == "same map":
            extra = base(after, self.saliency_maps[batch[kept]])
        elif variant.loss == "map":
            extra = base(after, self.true_maps[edited])
        elif variant.loss == "change":
            known = self.known[variant.source]
            extra = GazeChangeLoss()(before, after, mask, known[batch[kept]], known[len(self.edits) + edited])
        else:
            extra = MaskedEditingLoss(variant.loss)(before, after, mask)
        return loss + variant.weight * share * extra


def agreement(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """Correlation of predicted and true changes of gaze, (E,), and the share of right signs."""
    changed = true.abs() > CHANGED
    return {
        "correlation": torch.corrcoef(torch.stack([predicted, true]))[0, 1].item(),
        "right": (predicted.sign() == true.sign())[changed].double().mean().item(),
    }


def change_of_gaze(before: Tensor, after: Tensor, edit_masks: Tensor) -> Tensor:
    """The log change of the region's share of gaze, (E,), of maps (E, 1, h, w)."""
    shares = [(maps.double() * edit_masks).sum((1, 2, 3)) / maps.double().sum((1, 2, 3)) for maps in (before, after)]
    return (shares[1].clamp(min=SMALLEST) / shares[0].clamp(min=SMALLEST)).log()
