"""SaliencyEditor: edit the region that a caption and a saliency map agree on (Fig. 3).

Z is the latent, C the cross-attention, S the saliency map, M the region of Eq. 8, A⁺ and γ the linear
decoder's pseudo-inverse (Sec. 4.2), D the decoder. Read ``_analyse_batch``, then ``_apply_batch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from augsal_transforms.config import EditConfig
from augsal_transforms.diffusion.attention import cross_attention_layers
from augsal_transforms.diffusion.batching import Batches, one_each, seeded_noise
from augsal_transforms.diffusion.calibration import Calibration
from augsal_transforms.diffusion.hub import locate_model
from augsal_transforms.diffusion.letterbox import Letterbox, check_images, check_saliency_maps, composite, keep_mean
from augsal_transforms.diffusion.model import DiffusionModel, check_finite, load_model
from augsal_transforms.diffusion.prompts import embed_tokens, encode_prompts, locate_color, locate_words
from augsal_transforms.editor.constraint import allowed_strength
from augsal_transforms.editor.crop import Norms, crop_residual, plan_crops, record_norms
from augsal_transforms.editor.edits import Edit
from augsal_transforms.editor.passes import attention_depth, source_pass, target_pass
from augsal_transforms.editor.region import average_tokens, normalise, refine_region, select_region, soft_threshold
from augsal_transforms.editor.results import EditedImage, ImageAnalysis, Source, edited, unedited
from augsal_transforms.photometry import PROPERTIES, photometric_properties, to_unit_range
from augsal_transforms.randomness import keyed_generator, pixel_hash
from augsal_transforms.readouts.gate import check_gate, read_properties, secant_strength
from augsal_transforms.readouts.readouts import Readouts, load_readouts


@dataclass(frozen=True, eq=False)
class SaliencyEditor:
    """Edits images with a frozen Stable Diffusion 1.x or 2.x model; ``from_pretrained`` loads one.

    Attributes:
        model: The frozen networks.
        calibration: A, A⁺, γ and the bounds for this model.
        config: How edits are made.
        name: What the model was asked for by.
        gate: Readouts whose LLFR must also find each edit within its bounds (Sec. 4.2), or ``None``.
    """

    model: DiffusionModel = field(repr=False)
    calibration: Calibration = field(repr=False)
    config: EditConfig
    name: str
    gate: Readouts | None = field(default=None, repr=False)

    @classmethod
    def from_pretrained(
        cls,
        name: str = "bundled",
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        config: EditConfig | None = None,
        calibration: Calibration | None = None,
        gate: Readouts | str | Path | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        compile: bool = False,
    ) -> SaliencyEditor:
        """Load an editor.

        Args:
            name: ``"bundled"`` (ours, offline), ``"sd-v1-5"``, the folder of a pipeline, or a hub id.
            device: Where the networks run.
            dtype: Their precision: float32, float16 or bfloat16.
            config: How edits are made; ``None`` is ``EditConfig()``.
            calibration: A and the bounds; ``None`` takes those beside the model, or else the published ones.
            gate: Readouts, ``"bundled"`` or their folder: LLFR gates edits too. ``None``: the pixels alone do.
            revision: Commit of a hub id; ``"sd-v1-5"`` has one pinned.
            local_files_only: Never ask the hub.
            compile: Compile the networks (``torch.compile``), for many images of a few sizes on a GPU. The first
                batches of each size take minutes. Torch keeps eight compilations of a network's code in a process,
                and the U-Net has two for each size of images and of batches, so from the fifth on, over all
                editors, it runs as it is. Every batch is filled up to ``batch_size``. On a CPU it gains nothing.

        Raises:
            FileNotFoundError: If the model or a part of it is not on disk and cannot be fetched.
            ValueError: If it is not a Stable Diffusion 1.x or 2.x text-to-image model, or ``gate`` does not fit it.
        """
        folder = locate_model(name, revision=revision, local_files_only=local_files_only)
        backend = "inductor" if compile else None
        model = load_model(folder, device=torch.device(device), dtype=dtype, backend=backend)
        calibration = calibration or Calibration.load(folder, folder) or Calibration.published()
        readouts = load_readouts(gate)[0] if isinstance(gate, (str, Path)) else deepcopy(gate)
        readouts = readouts and readouts.to(model.device)  # a copy: the caller's stay where they are
        return cls(model, calibration.to(model.device), config or EditConfig(), name, readouts)

    def __post_init__(self) -> None:
        depth, levels = attention_depth(self.model, self.config), set(cross_attention_layers(self.model.unet).values())
        if depth not in levels:
            raise ValueError(
                f"`attention_size` must be one of this model's "
                f"{sorted(self.model.unet.config.sample_size >> level for level in levels)}, "
                f"got {self.config.attention_size}."
            )
        if self.gate is not None:
            self.gate.check_model(self.model, self.name)
            check_gate(self.gate, self.config)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process loads the model itself; its weights do not travel through pickles, the gate's few do.
        place = (str(self.model.folder), str(self.model.device), self.model.unet.dtype, self.model.compiled)
        return _reload, (*place, self.config, self.calibration.to(torch.device("cpu")), self.gate, self.name)

    @cached_property
    def batches(self) -> Batches:
        """Of ``batch_size`` images or edits; an editor remembers what memory did not hold."""
        return Batches(self.config.batch_size, filled=self.model.compiled)

    def edit(
        self,
        images: list[Tensor] | Tensor,
        saliency_maps: list[Tensor] | Tensor,
        prompts: Sequence[str | None] | None,
        edits: Sequence[Edit | Sequence[Edit]],
        *,
        seed: int | Sequence[int] = 0,
    ) -> list[EditedImage]:
        """``apply(analyse(images, saliency_maps, prompts), edits)``."""
        return self.apply(self.analyse(images, saliency_maps, prompts, seed=seed), edits)

    @torch.no_grad()
    def analyse(
        self,
        images: list[Tensor] | Tensor,
        saliency_maps: list[Tensor] | Tensor,
        prompts: Sequence[str | None] | None = None,
        *,
        seed: int | Sequence[int] = 0,
    ) -> list[ImageAnalysis]:
        """What all edits of an image share: its latent, the source pass, the word and the region.

        Args:
            images: A list of (3, H, W) or a batch (B, 3, H, W), uint8 or float in [0, 1], any sizes.
            saliency_maps: Likewise (1, H, W), in [0, 1]; resized where they differ from the image.
            prompts: A caption per image; without one M is the saliency map and no word is named.
            seed: One for all, or one per image. Randomness is keyed on it and on the image's pixels,
                so neither the order nor the size of a batch matters.

        Returns:
            One analysis per image.
        """
        images = check_images(images)
        maps = check_saliency_maps(saliency_maps, images)
        captions = one_each("prompts", prompts or [""] * len(images), images)
        seeds = one_each("seed", [seed] * len(images) if isinstance(seed, int) else seed, images)
        plan = (self.config.resolution or self.model.resolution, self.model.multiple)
        sources = [
            Source(image, saliency_map, caption or "", key, Letterbox.plan((image.shape[-2], image.shape[-1]), *plan))
            for image, saliency_map, caption, key in zip(images, maps, captions, seeds, strict=True)
        ]
        return self.batches.run(self._analyse_batch, sources, [source.letterbox.outer for source in sources])

    @torch.no_grad()
    def apply(self, analyses: Sequence[ImageAnalysis], edits: Sequence[Edit | Sequence[Edit]]) -> list[EditedImage]:
        """Edit analysed images.

        Args:
            analyses: From ``analyse``.
            edits: One edit per image, or a list of edits per image; ranges are drawn from.

        Returns:
            A flat list, image by image, edit by edit. A null edit returns the image it was given.

        Raises:
            ValueError: If there is a gate, or only crops are decoded, and an analysis is of an editor without.
        """
        if self.gate is not None:
            check_told(analyses)
        if self.config.decode == "crop" and any(analysis.crop is None for analysis in analyses):
            raise ValueError("`analyses` must come from an editor with `decode='crop'`, as this one is: call its own.")
        jobs: list[tuple[ImageAnalysis, Edit]] = []
        for analysis, wanted in zip(analyses, one_each("edits", edits, analyses), strict=True):
            draws = keyed_generator("edits", analysis.source.seed, pixel_hash(analysis.source.image))
            for edit in [wanted] if isinstance(wanted, Edit) else wanted:
                if not isinstance(edit, Edit):
                    raise TypeError(f"`edits` must hold Contrast, Brightness or Color, got {edit!r}.")
                jobs.append((analysis, edit.draw(draws)))
        active = [n for n, (analysis, edit) in enumerate(jobs) if not edit.is_null and not analysis.is_empty]
        shapes = [jobs[n][0].source.letterbox.outer for n in active]
        results = self.batches.run(self._apply_batch, [jobs[n] for n in active], shapes)
        made = dict(zip(active, results, strict=True))
        return [made[n] if n in made else unedited(*job) for n, job in enumerate(jobs)]

    def _analyse_batch(self, sources: list[Source]) -> list[ImageAnalysis]:
        model, config = self.model, self.config
        images = [to_unit_range(source.image).to(model.device) for source in sources]
        placed = torch.stack([source.letterbox.fit(image) for source, image in zip(sources, images, strict=True)])
        latent = model.encode(placed)  # Z
        context = encode_prompts(model.tokenizer, model.text_encoder, [source.prompt for source in sources])
        noise = seeded_noise([source.image for source in sources], [source.seed for source in sources], latent)
        with read_properties(model, self.gate) as tell:
            trajectory, cross_attention = source_pass(model, config, latent, context, noise)  # C
        recording: AbstractContextManager[Norms] = (
            record_norms(model.vae.decoder) if config.decode == "crop" else nullcontext([])
        )
        with recording as norms:
            decoded = model.decode(latent)  # D(Z), once for all edits
        check_finite(cross_attention, decoded)

        saliency = torch.stack([source.fit_saliency_map(cross_attention) for source in sources])  # S
        words = [locate_words(model.tokenizer, s.prompt, keep_stopwords=config.keep_stopwords) for s in sources]
        per_word = average_tokens(cross_attention, [[word.tokens for word in found] for found in words])
        guided, index = select_region(per_word, saliency)  # M and i*, Eq. 8
        named = torch.tensor([bool(found) for found in words], device=model.device)
        regions = torch.where(named[:, None, None, None], guided, normalise(saliency))
        refined = [
            refine_region(source.letterbox.mirror_padding(region), image)
            for source, region, image in zip(sources, regions, placed, strict=True)
        ]
        ramp = (config.threshold, config.softness)
        masks = [soft_threshold(s.letterbox.restore(field), *ramp) for s, field in zip(sources, refined, strict=True)]
        latent_masks = F.adaptive_avg_pool2d(
            soft_threshold(torch.stack(refined), *ramp), (latent.shape[-2], latent.shape[-1])
        )
        told = tell(latent, latent_masks)
        crops = plan_crops(latent_masks, norms) if config.decode == "crop" else [None] * len(sources)
        areas = torch.stack([mask.any() for mask in masks])
        chosen, present = torch.stack([index, areas]).tolist()  # the device is waited for once a batch
        return [
            ImageAnalysis(
                source=source,
                word=words[n][chosen[n]] if words[n] else None,
                region=regions[n],
                edit_mask=masks[n],
                is_empty=not present[n],
                latent_mask=latent_masks[n : n + 1],
                latent=latent[n : n + 1],
                context=context[n : n + 1],
                trajectory=[(noisy[n : n + 1], noise[n : n + 1]) for noisy, noise in trajectory],
                decoded=decoded[n : n + 1],
                crop=crops[n],
                properties=photometric_properties(images[n][None], masks[n][None])[0],
                told=told[n],
            )
            for n, source in enumerate(sources)
        ]

    def _apply_batch(self, jobs: list[tuple[ImageAnalysis, Edit]]) -> list[EditedImage]:
        analyses = [analysis for analysis, _ in jobs]
        settings = self.calibration, self.config
        edited_latent = torch.cat(
            [edit.edit_latent(a.latent, a.latent_mask, a.properties[None], *settings) for a, edit in jobs]
        )  # Z_E
        injection = [edit.injection_weight(self.config) if a.word else 0.0 for a, edit in jobs]
        with read_properties(self.model, self.gate) as tell:
            output = self.denoise(analyses, edited_latent, inserted_tokens(self.model, jobs), injection)
        told = tell(output, torch.cat([analysis.latent_mask for analysis in analyses]))
        residual = self.residual(analyses, output)
        images, measurements = zip(
            *(self._composite(*job, residual[n], told[n]) for n, job in enumerate(jobs)), strict=True
        )
        numbers = torch.stack(measurements).tolist()  # once a batch
        return [edited(*job, image, row) for job, image, row in zip(jobs, images, numbers, strict=True)]

    def denoise(
        self, analyses: list[ImageAnalysis], edited_latent: Tensor, inserted: Tensor, injection: list[float]
    ) -> Tensor:
        """Z_out, the edited latent after the target pass inside M and Z outside, (B, 4, h, w).

        Args:
            analyses: B images on equal letterboxes.
            edited_latent: Z_E, (B, 4, h, w).
            inserted: The inserted token's embedding, (B, 1, D).
            injection: The weight of that token where M = 1, per image.
        """
        latent, region, context = (
            torch.cat([getattr(a, name) for a in analyses]) for name in ("latent", "latent_mask", "context")
        )
        levels = zip(*(a.trajectory for a in analyses), strict=True)
        trajectory = [(torch.cat([z for z, _ in level]), torch.cat([e for _, e in level])) for level in levels]
        token_map = region * torch.tensor(injection).to(latent)[:, None, None, None]
        target = target_pass(self.model, self.config, latent, edited_latent, context, trajectory, inserted, token_map)
        denoised = edited_latent + region * self.config.guidance * (target - edited_latent)
        return torch.where(region > 0, denoised, latent)

    def residual(self, analyses: list[ImageAnalysis], output: Tensor) -> Tensor:
        """D(Z_out) − D(Z), what an edit changes in the image, (B, 3, H', W') in units of [0, 1]."""
        if self.config.decode == "crop":
            latents = zip(analyses, output.split(1), strict=True)
            residual = torch.cat(
                [crop_residual(self.model, a.crop, latent, a.decoded) for a, latent in latents if a.crop]
            )
        else:
            residual = self.model.decode(output) - torch.cat([a.decoded for a in analyses])
        check_finite(residual)
        return residual

    def _composite(self, analysis: ImageAnalysis, edit: Edit, residual: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """I + λ M (D(Z_out) − D(Z)), λ the largest that stays within two deviations (Sec. 4.2).

        Returns:
            The edited image, (3, H, W), and its measurements for ``edited``, both still on the device.
        """
        image, mask = to_unit_range(analysis.source.image).to(residual)[None], analysis.edit_mask[None]
        change = analysis.source.letterbox.restore(residual)[None]
        if edit.keeps_mean:
            change = keep_mean(image, change, mask)
        change = mask * change
        bounds = self.config.max_std * self.calibration.std
        strength, bound = allowed_strength(image, change, mask, bounds)
        if self.gate is not None:
            gated, gate = secant_strength(analysis.told[None], told[None], bounds)
            bound = torch.where(gated < strength, gate + len(PROPERTIES), bound)
            strength = torch.minimum(gated, strength)
        result = composite(analysis.source.image.to(residual.device), strength * change[0], analysis.edit_mask)
        after = photometric_properties(to_unit_range(result)[None], mask)[0]
        return result, torch.cat([strength, bound.to(strength), analysis.properties, after])


def _reload(
    folder: str,
    device: str,
    dtype: torch.dtype,
    compile: bool,
    config: EditConfig,
    calibration: Calibration,
    gate: Readouts | None,
    name: str,
) -> SaliencyEditor:
    options: dict[str, Any] = {"config": config, "calibration": calibration, "gate": gate, "compile": compile}
    return replace(SaliencyEditor.from_pretrained(folder, device=device, dtype=dtype, **options), name=name)


def inserted_tokens(model: DiffusionModel, jobs: list[tuple[ImageAnalysis, Edit]]) -> Tensor:
    """The tokens inserted before the regions' words, (B, 1, D): words such as colours, or empty ones (Sec. 4.1)."""
    located = {
        n: locate_color(model.tokenizer, analysis.source.prompt, analysis.word, edit.inserted_word)
        for n, (analysis, edit) in enumerate(jobs)
        if edit.inserted_word and analysis.word
    }
    tokens = [model.empty_token] * len(jobs)
    if located:
        rows = embed_tokens(model.tokenizer, model.text_encoder, list(located.values()))
        for n, row in zip(located, rows, strict=True):
            tokens[n] = row[None, None]
    return torch.cat(tokens)


def check_told(analyses: Sequence[ImageAnalysis]) -> None:
    """Refuse analyses of which LLFR has told nothing.

    Raises:
        ValueError: If one is of an editor without a gate.
    """
    if not all(len(analysis.told) for analysis in analyses):
        raise ValueError(
            "`analyses` must come from an editor with a `gate`, as this one is: call its own `analyse` on the images."
        )
