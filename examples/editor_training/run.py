"""A training run that can be cut off: cosine schedule, averaged weights, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm import tqdm

SAVE_EVERY, WARMUP = 200, 100


class Run:
    """Iterate over it for (step, generator); ``descend`` once a step; ``finish`` for the averaged weights.

    Args:
        name: Shown by the progress bar.
        networks: What is trained, by name.
        path: The checkpoint; a run that finds one goes on from there.
        steps: How many.
        peak: Learning rate after the warm-up, from which a cosine falls to a fiftieth.
        weight_decay: Of AdamW.
        seed: Seeds a generator per step, so that a resumed run draws what it would have drawn.
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
        progress = tqdm(range(self.step, self.steps), initial=self.step, total=self.steps, desc=self.name)
        for step in progress:
            self.step, started = step, time.perf_counter()
            yield step, torch.Generator().manual_seed(self.seed * 1_000_003 + step)
            self.seconds += time.perf_counter() - started
            progress.set_postfix(self.shown)
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == self.steps:
                self._save(step + 1)

    def descend(self, loss: Tensor, **shown: float) -> None:
        """One step of AdamW on gradients of norm 1 at most; ``shown`` goes to the progress bar."""
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
        """Put the averaged weights into the networks and freeze them; ``seconds`` is what training took."""
        self.average.copy_to(self.parameters)
        for network in self.networks.values():
            network.eval().requires_grad_(False)

    def _save(self, step: int) -> None:
        """Written beside and renamed: a run that is killed while saving keeps its last checkpoint."""
        partial = self.path.with_suffix(".partial")
        state = {part: holder.state_dict() for part, holder in self._state.items()}
        torch.save({**state, "step": step, "seconds": self.seconds}, partial)
        partial.replace(self.path)
