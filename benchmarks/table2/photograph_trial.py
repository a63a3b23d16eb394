"""One trial on photographs: a head on frozen features, trained by one variant from one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from augsal_transforms.losses import AugmentedSaliencyLoss, GazeChangeLoss
from augsal_transforms.randomness import keyed_generator
from table2.frozen import Features, FrozenHead, HeadRecipe, fit, pick
from table2.photograph_variants import PhotographVariant
from table2.photographs import Photographs
from table2.scoring import mean_scores, score_maps


@dataclass(frozen=True, kw_only=True)
class EditFeatures:
    """The frozen features of edits, K of them.

    Attributes:
        rows: For each photograph the rows of its edits by kind.
        plain: Features of the edited images.
        mirrored: Features of the mirrored edited images; ``None`` where no variant needs them.
        edit_masks: M at the head's resolution, (K, 1, h, w), in [0, 1].
        saliency_maps: Maps that supervise the edited images, (K, 1, h, w); ``None`` where no variant needs them.
    """

    rows: list[dict[str, list[int]]]
    plain: Features
    mirrored: Features | None
    edit_masks: Tensor
    saliency_maps: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingFeatures:
    """The frozen features of the training photographs and of their edits.

    Attributes:
        plain: Features of the photographs.
        mirrored: Features of the mirrored photographs.
        saliency_maps: (N, 1, h, w), with a maximum of 1.
        edits: Edits by ``PhotographVariant.source``.
    """

    plain: Features
    mirrored: Features
    saliency_maps: Tensor
    edits: Mapping[str, EditFeatures]


@dataclass(frozen=True)
class Batch:
    """The draws of a batch of B photographs.

    Attributes:
        photographs: Row of each photograph, (B,).
        is_mirrored: Whether it is mirrored, (B,), bool.
        edits: Row of its edit, or −1 where it is not edited, (B,).
    """

    photographs: Tensor
    is_mirrored: Tensor
    edits: Tensor

    @classmethod
    def draw(
        cls, variant: PhotographVariant, photographs: Tensor, data: TrainingFeatures, seed: int, step: int
    ) -> Batch:
        """Draw what a variant makes of photographs; variants that share a draw draw the same."""
        flips = torch.rand(len(photographs), generator=keyed_generator("mirror", seed, step))
        is_mirrored = (flips < 0.5) & variant.mirrored
        edits = torch.full((len(photographs),), -1)
        if variant.uses_edits:
            for place, row in enumerate(photographs.tolist()):
                generator = keyed_generator("augment", seed, step, place)
                if torch.rand((), generator=generator).item() < variant.p:
                    edits[place] = _draw_edit(data.edits[variant.source].rows[row], generator)
        return cls(photographs, is_mirrored, edits)


def _draw_edit(by_kind: Mapping[str, list[int]], generator: torch.Generator) -> int:
    """Draw a kind, then one of its edits; −1 where there is none."""
    if not by_kind:
        return -1
    of_kind = list(by_kind.values())[int(torch.randint(len(by_kind), (), generator=generator))]
    return of_kind[int(torch.randint(len(of_kind), (), generator=generator))]


def run_photograph_trial(
    variant: PhotographVariant,
    seed: int,
    data: TrainingFeatures,
    size: int,
    measured: tuple[Photographs, Features],
    recipe: HeadRecipe,
) -> dict[str, float]:
    """Train a head on photographs and return the mean of each metric over others.

    Args:
        variant: Augmentation and loss.
        seed: Seed of the choice of photographs, initial weights, batches, dropout and augmentation; the first four are
            the same for every variant.
        data: Features of all training photographs.
        size: Number of them to train on; each seed draws its own.
        measured: Photographs to measure on, and their features.
        recipe: Settings that all variants share.
    """
    head = train_photographs(variant, seed, data, size, recipe)
    with torch.no_grad():
        return mean_scores(score_maps(head(measured[1]), measured[0]))


def train_photographs(
    variant: PhotographVariant, seed: int, data: TrainingFeatures, size: int, recipe: HeadRecipe
) -> FrozenHead:
    """Train a head; see ``run_photograph_trial``."""
    chosen = torch.randperm(len(data.saliency_maps), generator=keyed_generator("photographs", seed))[:size]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = FrozenHead([maps.shape[1] for maps in data.plain])
    head.standardise(pick(data.plain, chosen))
    criterion = variant.criterion()

    def loss_of(head: FrozenHead, step: int, rows: Tensor, kept: Features) -> Tensor:
        batch = Batch.draw(variant, chosen[rows], data, seed, step)
        return batch_loss(head, variant, criterion, batch, data, kept)

    return fit(head, loss_of, size, seed, recipe)


def batch_loss(
    head: FrozenHead,
    variant: PhotographVariant,
    criterion: AugmentedSaliencyLoss,
    batch: Batch,
    data: TrainingFeatures,
    kept: Features,
) -> Tensor:
    """The loss of a batch. An edited image misses the same channels of the features as its original does."""
    images = pick_mirrored(data.plain, data.mirrored, batch.photographs, batch.is_mirrored)
    flip = partial(flip_where, where=batch.is_mirrored)
    saliency_map = flip(data.saliency_maps[batch.photographs])
    is_edited = batch.edits >= 0
    if not bool(is_edited.any()):
        return criterion.base(head(images, kept), saliency_map)
    edits, rows, mirrored = data.edits[variant.source], batch.edits[is_edited], batch.is_mirrored[is_edited]
    edited_images = pick_mirrored(edits.plain, edits.mirrored, rows, mirrored)
    if variant.augmentation == "pixels":
        for maps, edited in zip(images, edited_images, strict=True):
            maps[is_edited] = edited
        return criterion.base(head(images, kept), saliency_map)
    prediction = head(images, kept)
    of_edited = head(edited_images, pick(kept, is_edited))
    edited_prediction, edit_mask = prediction.detach().clone(), torch.zeros_like(prediction)
    edited_prediction[is_edited] = of_edited
    edit_mask[is_edited] = flip_where(edits.edit_masks[rows], mirrored)
    edited_map = torch.zeros_like(prediction)
    if variant.uses_maps and edits.saliency_maps is not None:
        edited_map[is_edited] = flip_where(edits.saliency_maps[rows], mirrored)
    pair = edited_map if variant.pairs else None
    loss: Tensor = criterion(prediction, saliency_map, edited_prediction, edit_mask, is_edited, pair)
    if variant.change_weight:
        change = GazeChangeLoss()(prediction, edited_prediction, edit_mask, saliency_map, edited_map, is_edited)
        loss = loss + variant.change_weight * change
    return loss


def pick_mirrored(plain: Features, mirrored: Features | None, rows: Tensor, is_mirrored: Tensor) -> Features:
    """The features of some images, of the mirrored images where they are mirrored."""
    picked = pick(plain, rows)
    if mirrored is not None and bool(is_mirrored.any()):
        for maps, flipped in zip(picked, pick(mirrored, rows[is_mirrored]), strict=True):
            maps[is_mirrored] = flipped
    return picked


def flip_where(maps: Tensor, where: Tensor) -> Tensor:
    """Maps (B, 1, h, w), mirrored in the items where ``where`` (B,) says so."""
    return torch.where(where[:, None, None, None], maps.flip(-1), maps)
