"""Train all readouts of an editor together: Eq. 3 on patches and boxes, Eq. 4 on saliency maps, Eq. 7 on edits.

The draws of a step are keyed on the seed and the step, and made for the whole batch; each process takes its share of
them. One process, several processes and a resumed run therefore take the same steps.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.files import write_file
from augsal_transforms.losses import MaskedEditingLoss, ReadoutLoss, SaliencyLoss
from augsal_transforms.photometry import photometric_properties, to_unit_range
from augsal_transforms.progress import bars
from augsal_transforms.randomness import keyed_generator
from augsal_transforms.readouts.features import decoder_features
from augsal_transforms.readouts.predictor import SaliencyPredictor
from augsal_transforms.readouts.readouts import ReadoutConfig, Readouts
from augsal_transforms.training.samples import TrainingConfig, TrainingSamples, draw_patches, pool_area, rectangles
from augsal_transforms.transform import SaliencyDiffusionAugment

EDITING_WEIGHT = 0.1  # beside 0.2 (KLD − CC), as in the released code


class ReadoutTraining:
    """A training run of the readouts of one editor; ``run`` starts it, or resumes it from its checkpoint.

    Under ``torchrun`` the process group must have been initialised.

    Args:
        editor: The editor whose features are read; its networks are not trained.
        dataset: Annotated samples, such as an ``AnnotatedFolder``.
        classes: Names of the classes.
        config: Numbers of the training.
        width: C, the channels of the aggregated features.
        folder: Folder of the checkpoint and the metrics.

    Raises:
        ValueError: If the batch cannot be shared evenly among the processes.
    """

    def __init__(
        self,
        editor: SaliencyEditor,
        dataset: Any,
        classes: tuple[str, ...],
        config: TrainingConfig,
        *,
        width: int,
        folder: Path,
    ) -> None:
        self.editor, self.config, self.folder = editor, config, folder
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        if config.batch_size % self.world:
            raise ValueError(f"`batch_size` must be a multiple of the {self.world} processes, got {config.batch_size}.")
        model = editor.model
        self.samples = TrainingSamples(
            dataset, editor.config.resolution or model.resolution, model.multiple, model.downsampling
        )
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            sizes = ReadoutConfig.for_model(model, classes, width=width, noise_level=editor.config.noise_level)
            self.readouts = Readouts(sizes).to(model.device)
        self.wrapped: nn.Module = DistributedDataParallel(self.readouts) if self.world > 1 else self.readouts
        features = [*self.readouts.low.parameters(), *self.readouts.high.parameters()]
        self.saliency_parameters = list(self.readouts.saliency.parameters())
        own_heads = [*self.readouts.photometric.parameters(), *self.readouts.classify.parameters()]
        self.readout_parameters = [*features, *own_heads]
        heads = [*own_heads, *self.saliency_parameters]
        self.rates = (config.feature_rate, config.head_rate)
        self.optimizer = torch.optim.AdamW([{"params": features}, {"params": heads}])
        self.readout_loss = ReadoutLoss(editor.calibration.std).to(model.device)
        self.saliency_loss, self.editing_loss = SaliencyLoss(), MaskedEditingLoss()
        self.augment = SaliencyDiffusionAugment(editor=editor, p=config.augment, seed=config.seed)
        self.latents: dict[int, Tensor] = {}  # Z of each image, encoded once, in half precision
        self.step, self.seconds, self.history = 0, 0.0, list[dict[str, float]]()

    @property
    def checkpoint(self) -> Path:
        """The file of the checkpoint."""
        return self.folder / "readouts.pt"

    def run(self, *, quiet: bool = False) -> SaliencyPredictor:
        """Train to the end, with a bar in a terminal unless ``quiet``, and return the predictor.

        ``metrics.json`` in the folder gets the terms of the loss every 50 steps, on the first process's share.

        Raises:
            ValueError: If the folder holds a broken checkpoint, or one of other readouts.
        """
        self._resume()
        loader = DataLoader(
            self.samples,
            batch_sampler=self._batches(),
            num_workers=self.config.workers,
            generator=torch.Generator(),  # without it the loader draws from torch's global generator
        )
        steps = bars(quiet or self.rank > 0, "step", "readouts")
        progress = steps(loader, initial=self.step, total=self.config.steps)
        for batch in progress:
            started = time.perf_counter()
            terms = self.losses(batch)
            self.descend(terms)
            self.step += 1
            self.seconds += time.perf_counter() - started
            if self.step % 50 == 0 or self.step == self.config.steps:
                shown = {name: round(term.item(), 4) for name, term in terms.items()}
                self.history.append({"step": self.step, **shown})
                progress.set_postfix(shown)
            if self.rank == 0 and (self.step % self.config.save_every == 0 or self.step == self.config.steps):
                self._save()
        return SaliencyPredictor(self.editor.model, self.readouts.eval().requires_grad_(False), self.editor.name)

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The weighted terms of the loss.

        Args:
            batch: This process's share of a step's batch, collated from ``TrainingSamples``.

        Returns:
            Scalars by name: ``"readouts"``, ``"saliency"`` and, with augmentation, ``"editing"``.
        """
        model, config = self.editor.model, self.config
        rng = keyed_generator("readouts", config.seed, self.step)
        latent = self._encode(batch)
        noise = self._share(torch.randn(config.batch_size, *latent.shape[1:], generator=rng)).to(latent)
        dropped = self._share(torch.rand(config.batch_size, generator=rng)) < config.dropped
        corners = self._share(draw_patches(config.batch_size, config.patches, rng))
        image = to_unit_range(batch["image"]).to(model.device)
        patches = rectangles(corners, (image.shape[-2], image.shape[-1])).to(model.device)
        properties = torch.stack([photometric_properties(image, area[:, None]) for area in patches.unbind(1)], dim=1)
        cells = self.samples.cells
        boxes = pool_area(rectangles(batch["boxes"], (image.shape[-2], image.shape[-1])), cells).to(model.device)
        prompts = ["" if drop else prompt for prompt, drop in zip(batch["prompt"], dropped, strict=True)]
        edited = self._edit(batch) if config.augment else {}

        with torch.autocast(model.device.type, torch.bfloat16):
            context = model.encode_prompts(prompts).float()
            areas = pool_area(patches, cells)
            if edited:  # originals and edited images in one pass: DDP allows one forward a backward
                with torch.no_grad():
                    latent = torch.cat([latent, model.encode(to_unit_range(edited["edited_image"]).to(model.device))])
                noise, context, areas, boxes = (torch.cat([x, x]) for x in (noise, context, areas, boxes))
            taps, time_embedding = decoder_features(model, latent, noise, context, self.readouts.config.noise_level)
            predicted, logits, saliency = self.wrapped(taps, time_embedding, latent, areas, boxes)
        count, classes = len(image), batch["classes"].to(model.device)
        target = batch["saliency_map"].to(model.device)
        terms = {
            "readouts": self.readout_loss(predicted[:count], properties, logits[:count], classes),
            "saliency": self.saliency_loss(saliency[:count], target),
        }
        if edited:
            mask = pool_area(edited["edit_mask"], cells).to(model.device)
            loss = self.editing_loss(saliency[:count], saliency[count:].float(), mask, edited["is_edited"])
            terms["editing"] = EDITING_WEIGHT * loss
        return terms

    def descend(self, terms: dict[str, Tensor]) -> None:
        """One step of AdamW with gradients of norm 1 at most; parts that have had their steps are left unchanged."""
        config = self.config
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.step / config.steps))
        factor = 1.0 if config.schedule == "constant" else cosine * min(1.0, (self.step + 1) / 100)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad()
        sum(terms.values(), torch.zeros(())).backward()
        for steps, parameters in (
            (config.readout_steps, self.readout_parameters),
            (config.saliency_steps, self.saliency_parameters),
        ):
            if self.step >= steps:
                for parameter in parameters:
                    parameter.grad = None  # AdamW skips parameters without a gradient
        torch.nn.utils.clip_grad_norm_(self.readouts.parameters(), 1.0)
        self.optimizer.step()

    def _edit(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.augment.set_epoch(self.step)
        size = [batch["image"].shape[-2], batch["image"].shape[-1]]
        maps = nn.functional.interpolate(batch["saliency_map"], size, mode="bilinear", align_corners=False)
        return self.augment.batch(
            {"image": batch["image"], "saliency_map": maps.clamp(0, 1), "prompt": batch["prompt"]}
            | {"image_id": batch["image_id"]}
        )

    @torch.no_grad()
    def _encode(self, batch: dict[str, Any]) -> Tensor:
        numbers = batch["index"].tolist()
        new = [n for n, number in enumerate(numbers) if number not in self.latents]
        if new:
            encoded = self.editor.model.encode(to_unit_range(batch["image"][new]).to(self.editor.model.device))
            self.latents.update(zip((numbers[n] for n in new), encoded.half().cpu(), strict=True))
        return torch.stack([self.latents[number] for number in numbers]).float().to(self.editor.model.device)

    def _share(self, draws: Tensor) -> Tensor:
        """This process's rows of draws for the whole batch."""
        return draws[self.rank :: self.world]

    def _batches(self) -> Iterator[list[int]]:
        """Indices of this process's samples in each remaining step; every epoch has an order of its own."""
        size, count, order, epoch = self.config.batch_size, len(self.samples), torch.empty(0), -1
        for step in range(self.step, self.config.steps):
            chosen = []
            for place in range(step * size, (step + 1) * size):
                if place // count != epoch:
                    epoch = place // count
                    order = torch.randperm(count, generator=keyed_generator("order", self.config.seed, epoch))
                chosen.append(int(order[place % count]))
            yield chosen[self.rank :: self.world]

    def _resume(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.checkpoint.exists():
            return
        try:
            saved = torch.load(self.checkpoint, weights_only=True, map_location=self.editor.model.device)
            if saved["sizes"] != asdict(self.readouts.config):
                raise ValueError("it is of another editor, or of other classes or sizes")
            self.readouts.load_state_dict(saved["readouts"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.seconds, self.history = saved["step"], saved["seconds"], saved["history"]
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a damaged file raises
            raise ValueError(
                f"This run cannot go on from {self.checkpoint}: {type(error).__name__}: {error}. "
                "Remove the file to start again, or give another folder."
            ) from error

    def _save(self) -> None:
        progress = {"step": self.step, "seconds": self.seconds, "history": self.history}
        state = {"readouts": self.readouts.state_dict(), "optimizer": self.optimizer.state_dict()}
        buffer = io.BytesIO()
        torch.save({**state, **progress, "sizes": asdict(self.readouts.config)}, buffer)
        write_file(self.checkpoint, buffer.getvalue())
        write_file(self.folder / "metrics.json", (json.dumps(progress, indent=2) + "\n").encode())
