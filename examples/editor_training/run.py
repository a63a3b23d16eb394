"""A training run that resumes from checkpoints, with a cosine schedule and averaged weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import ConfigMixin
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from augsal_transforms.progress import progress_bar

SAVE_EVERY, WARMUP = 200, 100
N = TypeVar("N", bound=nn.Module)


class Run:
    """A training run. Iterate over it for (step, generator), call ``descend`` once per step, then ``finish``.

    Args:
        name: Name shown by the progress bar.
        networks: Networks to train, by name.
        path: File of the checkpoint; if it exists, training resumes from it.
        steps: Number of steps.
        peak: Learning rate after the warm-up; it falls along a cosine to a fiftieth.
        weight_decay: Weight decay of AdamW.
        seed: Seed of the generators, one per step: a resumed run makes the same draws as an uninterrupted one.
    """

    def __init__(
        self,
        name: str,
        networks: dict[str, nn.Module],
        path: Path,
        *,
        steps: int,
        peak: float,
        weight_decay: float,
        seed: int,
    ) -> None:
        self.name, self.networks, self.path, self.steps, self.peak, self.seed = name, networks, path, steps, peak, seed
        self.parameters = [p for network in networks.values() for p in network.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, weight_decay=weight_decay, fused=True)
        self.average = EMAModel(self.parameters, decay=0.999, use_ema_warmup=True, power=0.75)
        self._state: dict[str, Any] = {**networks, "optimizer": self.optimizer, "average": self.average}
        self.step, self.seconds, self.shown = 0, 0.0, {}
        if path.exists():
            saved = torch.load(path, weights_only=True)
            for part, holder in self._state.items():
                holder.load_state_dict(saved[part])
            self.step, self.seconds = saved["step"], saved["seconds"]

    def __iter__(self) -> Iterator[tuple[int, torch.Generator]]:
        progress = progress_bar(range(self.step, self.steps), initial=self.step, total=self.steps, desc=self.name)
        for step in progress:
            self.step, started = step, time.perf_counter()
            yield step, torch.Generator().manual_seed(self.seed * 1_000_003 + step)
            self.seconds += time.perf_counter() - started
            progress.set_postfix(self.shown)
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == self.steps:
                self._save(step + 1)

    def descend(self, loss: Tensor, **shown: float) -> None:
        """Take one step of AdamW, with gradients clipped to norm 1; the progress bar shows ``shown``."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak * min(1.0, (self.step + 1) / WARMUP) * (0.02 + 0.98 * cosine)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.average.step(self.parameters)
        self.shown = {name: f"{value:.3f}" for name, value in shown.items()}

    def finish(self) -> None:
        """Copy the averaged weights into the networks and freeze them; ``seconds`` is the training time."""
        self.average.copy_to(self.parameters)
        for network in self.networks.values():
            network.eval().requires_grad_(False)

    def _save(self, step: int) -> None:
        """Write a temporary file and rename it, so a run that is killed while saving keeps its last checkpoint."""
        partial = self.path.with_suffix(".partial")
        state = {part: holder.state_dict() for part, holder in self._state.items()}
        torch.save({**state, "step": step, "seconds": self.seconds}, partial)
        partial.replace(self.path)


def load_part(kind: type[N], folder: Path, part: str) -> N:
    """Load a network of a pipeline's folder in float32, to train it further."""
    network: N = kind.from_pretrained(folder / part, torch_dtype=torch.float32)  # type: ignore[attr-defined]
    if isinstance(network, ConfigMixin):
        network.register_to_config(_name_or_path="")  # it would be saved with the weights
    return network.train().requires_grad_(True)
