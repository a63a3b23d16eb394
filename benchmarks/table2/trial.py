"""One trial: a network trained by one variant from one seed, and scored on held-out images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.metrics.table import Truth
from augsal_transforms.randomness import keyed_generator
from table2.paired import METRICS
from table2.training_set import HeldOut, Sample, TrainingSet
from table2.variants import Variant

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PRESET = "tuebingen"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings that all variants of a comparison share: they differ in the augmentation and in nothing else.

    Attributes:
        steps: Number of optimiser steps.
        batch_size: Original images in a batch; edited images are added to them.
        size: Side of the network's input in pixels.
        learning_rate: Largest learning rate; it falls along a cosine to 0. The default is the rate at which the compact
            UNISAL without augmentation is best on the tuning scenes, among 0.0025, 0.005, 0.01 and 0.02 over three
            seeds; one seed at 0.04 was worse.
        weight_decay: Weight decay of AdamW.
    """

    steps: int = 400
    batch_size: int = 8
    size: int = 96
    learning_rate: float = 2e-2
    weight_decay: float = 1e-3


def run_trial(
    build: Callable[[], nn.Module],
    variant: Variant,
    seed: int,
    training_set: TrainingSet,
    held_out: HeldOut,
    recipe: Recipe,
    device: str = "cpu",
) -> dict[str, float]:
    """Train a network by one variant and return the mean of each metric over the held-out images."""
    return score(train(build, variant, seed, training_set, recipe, device), held_out, device)


def train(
    build: Callable[[], nn.Module],
    variant: Variant,
    seed: int,
    training_set: TrainingSet,
    recipe: Recipe,
    device: str = "cpu",
) -> nn.Module:
    """Train a network by one variant.

    Args:
        build: Function that makes the network: images (B, 3, S, S), normalised by ImageNet's statistics, to maps
            (B, 1, S, S) in [0, 1].
        variant: Augmentation and loss.
        seed: Seed of initial weights, batches and augmentation; weights and batches are the same for every variant.
        training_set: Images, maps and edits.
        recipe: Settings that all variants share.
        device: Device to train on.

    Returns:
        The trained network, in evaluation mode.
    """
    criterion = variant.criterion()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build().to(device).to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
        for batch in batches(variant, seed, training_set, recipe):
            image, saliency_map, edited_image, edit_mask = _on_device(batch, device)
            prediction = model(image)
            if variant.augmentation == "edits":
                edited = model(edited_image)
                loss = criterion(prediction, saliency_map, edited, edit_mask, batch.is_edited)
            else:
                loss = criterion.base(prediction, saliency_map)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def batches(variant: Variant, seed: int, training_set: TrainingSet, recipe: Recipe) -> Iterator[Sample]:
    """Yield a batch for every step. Each epoch has its own order, which is the same for every variant."""
    order = list[int]()
    shuffle = keyed_generator("order", seed)
    for step in range(recipe.steps):
        while len(order) < recipe.batch_size:
            order += torch.randperm(len(training_set), generator=shuffle).tolist()
        indices, order = order[: recipe.batch_size], order[recipe.batch_size :]
        generators = (keyed_generator("augment", seed, step, place) for place in range(recipe.batch_size))
        samples = [training_set.draw(variant, *drawn) for drawn in zip(indices, generators, strict=False)]
        yield Sample(*(torch.stack([getattr(sample, f.name) for sample in samples]) for f in fields(Sample)))


@torch.no_grad()
def score(model: nn.Module, held_out: HeldOut, device: str = "cpu", batch_size: int = 32) -> dict[str, float]:
    """Compute the mean of each metric over images, at each image's own size; NaN where a score is undefined."""
    totals = dict.fromkeys(METRICS, 0.0)
    ground_truth = zip(held_out.saliency_maps, held_out.fixation_maps, strict=True)
    for images in torch.stack(held_out.images).split(batch_size):
        for prediction in model(normalise(images.to(device))):
            saliency_map, fixation_map = next(ground_truth)
            resized = resize(prediction.cpu(), (saliency_map.shape[-2], saliency_map.shape[-1]))
            truths: dict[Truth, Tensor] = {"saliency_map": saliency_map, "fixation_map": fixation_map}
            for name, metric in METRICS.items():
                totals[name] += metric.score(resized, truths, preset=PRESET).item()
    return {metric: total / len(held_out.images) for metric, total in totals.items()}


def _on_device(batch: Sample, device: str) -> tuple[Tensor, ...]:
    saliency_map, edit_mask = (x.to(device).float() / 255 for x in (batch.saliency_map, batch.edit_mask))
    return normalise(batch.image.to(device)), saliency_map, normalise(batch.edited_image.to(device)), edit_mask


def normalise(images: Tensor) -> Tensor:
    """Normalise images (B, 3, H, W), uint8, by ImageNet's mean and standard deviation."""
    mean, std = (torch.tensor(x, device=images.device)[:, None, None] for x in (MEAN, STD))
    normalised = (images.float() / 255 - mean) / std
    return normalised.contiguous(memory_format=torch.channels_last)
