"""The training run: AdamW with two learning rates, averaged weights, and checkpoints to resume from."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from photographs_training.samples import draw_batch
from torch import Tensor, nn

from augsal_transforms.progress import progress_bar
from augsal_transforms.readouts.gaze_network import GazeNetwork

BATCH_SIZE, WARMUP, SAVE_EVERY = 8, 30, 50
RATES = {"encoder": 2e-4, "decoder": 1.5e-3}
WEIGHT_DECAY, LARGEST_GRADIENT, DECAY = 1e-3, 1.0, 0.99
SEED = 0


class Run:
    """A training run of a network.

    Args:
        network: The network, its encoder pretrained.
        path: File of the checkpoint; if it exists, training resumes from it.
        steps: Number of steps.
        device: Device to train on.

    Attributes:
        average: The network with averaged weights, in evaluation mode.
        seconds: Training time.
    """

    def __init__(self, network: GazeNetwork, path: Path, *, steps: int, device: str) -> None:
        self.path, self.steps, self.device = path, steps, torch.device(device)
        self.network = network.to(self.device).to(memory_format=torch.channels_last).train()
        for module in self.network.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()  # ImageNet's statistics are better than those of eight photographs
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        encoder = list(self.network.encoder.parameters())
        decoder = [p for name, p in self.network.named_parameters() if not name.startswith("encoder.")]
        self.optimizer = torch.optim.AdamW([{"params": encoder}, {"params": decoder}], weight_decay=WEIGHT_DECAY)
        self.draws, self.left, self.step, self.seconds = random.Random(SEED), [], 0, 0.0
        if path.exists():
            self._resume(torch.load(path, self.device, weights_only=True))

    def train(self, samples: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Take the steps that are left."""
        for step in progress_bar(range(self.step, self.steps), initial=self.step, total=self.steps):
            started = time.perf_counter()
            if len(self.left) < BATCH_SIZE:  # every photograph once before any comes again
                self.left += self.draws.sample(range(len(samples)), len(samples))
            chosen, self.left = self.left[:BATCH_SIZE], self.left[BATCH_SIZE:]
            self._descend(step, *draw_batch([samples[n] for n in chosen], self.draws))
            self.step, self.seconds = step + 1, self.seconds + time.perf_counter() - started
            if self.step % SAVE_EVERY == 0 or self.step == self.steps:
                self._save()

    def describe(self) -> str:
        """The budget, for the card."""
        place = (
            f"{torch.get_num_threads()} CPU thread(s)" if self.device.type == "cpu" else torch.cuda.get_device_name()
        )
        return f"{self.seconds / 60:.0f} min, {place}"

    def _descend(self, step: int, images: Tensor, maps: Tensor) -> None:
        share = min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        for group, rate in zip(self.optimizer.param_groups, RATES.values(), strict=True):
            group["lr"] = rate * share
        loss = gaze_loss(self.network(images.to(self.device)), maps.to(self.device))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        decay = min(DECAY, (step + 1) / (step + 10))
        with torch.no_grad():
            for averaged, parameter in zip(self.average.parameters(), self.network.parameters(), strict=True):
                averaged.lerp_(parameter, 1 - decay)

    def _save(self) -> None:
        """Write a temporary file and rename it, so a run that is killed while saving keeps its last checkpoint."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        networks = {part: getattr(self, part).state_dict() for part in ("network", "average", "optimizer")}
        progress = {"step": self.step, "seconds": self.seconds, "left": self.left, "draws": self.draws.getstate()}
        partial = self.path.with_suffix(".partial")
        torch.save({**networks, **progress}, partial)
        partial.replace(self.path)

    def _resume(self, saved: dict[str, Any]) -> None:
        for part in ("network", "average", "optimizer"):
            getattr(self, part).load_state_dict(saved[part])
        self.step, self.seconds, self.left = saved["step"], saved["seconds"], saved["left"]
        self.draws.setstate(saved["draws"])


def gaze_loss(log_density: Tensor, maps: Tensor) -> Tensor:
    """KL divergence of the density from the map's, plus 1 − their correlation; the mean over a batch.

    Args:
        log_density: The network's output, (B, 1, h, w).
        maps: Saliency maps of any size, (B, 1, H, W); averaged to (h, w).
    """
    target = F.interpolate(maps, log_density.shape[-2:], mode="area").flatten(1)
    target = target / target.sum(1, keepdim=True).clamp(min=1e-8)
    log_density = log_density.flatten(1).log_softmax(1)
    divergence = (target * ((target + 1e-9).log() - log_density)).sum(1)
    density = log_density.exp()
    density, target = (x - x.mean(1, keepdim=True) for x in (density, target))
    correlation = (density * target).sum(1) / (density.norm(dim=1) * target.norm(dim=1)).clamp(min=1e-12)
    return (divergence + 1 - correlation).mean()
