"""SaliencyEditor: edit the region that a caption and a saliency map agree on (Fig. 3).

Z is the latent, C the cross-attention, S the saliency map, M the region of Eq. 8, A⁺ and γ the linear
decoder's pseudo-inverse (Sec. 4.2), D the decoder. Read ``_analyse_batch``, then ``_apply_batch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.config import EditConfig
from augsal_transforms.diffusion.batching import Batches, seeded_noise, to_device
from augsal_transforms.diffusion.calibration import Calibration
from augsal_transforms.diffusion.hub import locate_model
from augsal_transforms.diffusion.letterbox import check_images
from augsal_transforms.diffusion.loading import find_device, load_model
from augsal_transforms.diffusion.model import DiffusionModel, read_numbers
from augsal_transforms.editor.checks import Wanted, check_analyses, check_edits, check_options, check_sources
from augsal_transforms.editor.composite import bounded_edit
from augsal_transforms.editor.constraint import property_bounds
from augsal_transforms.editor.edits import Edit
from augsal_transforms.editor.kinds import edit_latent
from augsal_transforms.editor.passes import check_attention_size, decode_residual, denoise, inserted_tokens, source_pass
from augsal_transforms.editor.region import draw_masks, find_regions
from augsal_transforms.editor.results import EditedImage, ImageAnalysis, Source, edited, unedited
from augsal_transforms.editor.saliency_gate import SaliencyGate
from augsal_transforms.photometry import photometric_properties, to_unit_range
from augsal_transforms.readouts.gate import check_gate, read_properties
from augsal_transforms.readouts.readouts import Readouts, load_readouts


@dataclass(frozen=True, eq=False)
class SaliencyEditor:
    """Edits images with a frozen Stable Diffusion 1.x or 2.x model; ``from_pretrained`` loads one.

    Attributes:
        model: The frozen networks.
        calibration: A, A⁺, γ and the bounds for this model.
        config: Settings of the edits.
        name: The name, folder or hub id that the model was loaded by.
        gate: Readouts whose LLFR limits edits too (Sec. 4.2), or ``None``.
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
            device: Device of the networks.
            dtype: Precision of the networks: float32, float16 or bfloat16.
            config: Settings of the edits; ``None`` is ``EditConfig()``.
            calibration: A and the bounds; ``None`` takes those beside the model, or else the published ones.
            gate: Readouts, ``"bundled"`` or their folder: LLFR limits edits too. ``None``: the pixels alone do.
            revision: Commit of a hub id; ``"sd-v1-5"`` has one pinned.
            local_files_only: Whether the hub is never asked.
            compile: Whether ``torch.compile`` compiles the networks, for many images of up to four sizes on a GPU:
                Torch keeps eight compilations of the U-Net in a process, two for each size of images and of batches.
                The first batches of a size take minutes. Batches are filled to ``batch_size``. A CPU gains nothing.

        Raises:
            FileNotFoundError: If the model or a part of it is not on disk and cannot be fetched.
            ValueError: If it is not a Stable Diffusion 1.x or 2.x text-to-image model, or ``gate`` does not fit it.
        """
        check_options(config=config, calibration=calibration, gate=gate)  # before gigabytes are loaded
        place = find_device(device)
        folder = locate_model(name, revision=revision, local_files_only=local_files_only)
        model = load_model(folder, device=place, dtype=dtype, backend="inductor" if compile else None)
        calibration = calibration or Calibration.load(folder, folder) or Calibration.published()
        readouts = load_readouts(gate)[0] if isinstance(gate, (str, Path)) else deepcopy(gate)
        readouts = readouts and readouts.to(model.device)  # a copy: the caller's readouts stay on their device
        return cls(model, calibration.to(model.device), config or EditConfig(), name, readouts)

    def __post_init__(self) -> None:
        check_options(config=self.config, calibration=self.calibration, gate=self.gate)
        check_attention_size(self.model, self.config)
        if self.gate is not None:
            self.gate.check_model(self.model, self.name)
            check_gate(self.gate, self.config)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process loads the model itself; its weights do not travel through pickles, the gate's few do.
        options = {"device": str(self.model.device), "dtype": self.model.unet.dtype, "compile": self.model.compiled}
        options |= {"config": self.config, "calibration": self.calibration.to(torch.device("cpu")), "gate": self.gate}
        return _reload, (str(self.model.folder), self.name, options)

    @cached_property
    def batches(self) -> Batches:
        """The batches of up to ``batch_size``; after memory ran out, the smaller size stays."""
        return Batches(self.config.batch_size, filled=self.model.compiled)

    @property
    def origin(self) -> tuple[str, int, float]:
        """The model's folder, the number of steps and the noise level of this editor's analyses."""
        return str(self.model.folder), self.config.steps, self.config.noise_level

    def edit(
        self,
        images: list[Tensor] | Tensor,
        saliency_maps: list[Tensor] | Tensor,
        prompts: Sequence[str | None] | None,
        edits: Wanted,
        *,
        seed: int | Sequence[int] = 0,
        saliency_gate: SaliencyGate | None = None,
    ) -> list[EditedImage]:
        """``apply(analyse(images, saliency_maps, prompts, seed=seed), edits)``; threads may call it at once."""
        images = check_images(images)
        check_edits(edits, images, saliency_gate)  # before the networks work
        return self.apply(self.analyse(images, saliency_maps, prompts, seed=seed), edits, saliency_gate=saliency_gate)

    @torch.no_grad()
    def analyse(
        self,
        images: list[Tensor] | Tensor,
        saliency_maps: list[Tensor] | Tensor,
        prompts: Sequence[str | None] | None = None,
        *,
        seed: int | Sequence[int] = 0,
    ) -> list[ImageAnalysis]:
        """Analyse each image for all its edits: the latent, the source pass, the word and the region.

        Args:
            images: A list of (3, H, W) or a batch (B, 3, H, W), uint8 or float in [0, 1], any sizes.
            saliency_maps: A list of (1, H, W) or a batch (B, 1, H, W), in [0, 1]; resized where they differ from
                the image.
            prompts: A caption per image, or ``None``; without one M is the saliency map and no word is named.
            seed: One for all images, or one per image. Randomness is keyed on it and on the pixels, not on the batch.
        """
        size, multiple = self.config.resolution or self.model.resolution, self.model.multiple
        sources = check_sources(images, saliency_maps, prompts, seed, size, multiple)
        return self.batches.run(self._analyse_batch, sources, [source.letterbox.outer for source in sources])

    @torch.no_grad()
    def apply(
        self, analyses: Sequence[ImageAnalysis], edits: Wanted, *, saliency_gate: SaliencyGate | None = None
    ) -> list[EditedImage]:
        """Edit analysed images.

        Args:
            analyses: The result of ``analyse``.
            edits: One edit per image, or several; α is drawn where it is a range. A null edit changes nothing.
            saliency_gate: Chooses one of an image's edits; ``None`` makes them all.

        Returns:
            A flat list, image by image, edit by edit; one result per image with a ``saliency_gate``.

        Raises:
            ValueError: If an editor with another model, other noise levels or no gate made the analyses.
        """
        analyses = check_analyses(analyses, self.origin, has_gate=self.gate is not None)
        wanted = check_edits(edits, analyses, saliency_gate)
        if saliency_gate is not None:
            return saliency_gate.select(self._make, analyses, wanted)
        return self._make([(a, edit) for a, some in zip(analyses, wanted, strict=True) for edit in a.draw(some)])

    def _make(self, jobs: list[tuple[ImageAnalysis, Edit]]) -> list[EditedImage]:
        """Drawn edits of analysed images, in batches; those that change nothing pass no network."""
        active = [n for n, (analysis, edit) in enumerate(jobs) if not edit.is_null and not analysis.is_empty]
        shapes = [jobs[n][0].source.letterbox.outer for n in active]
        made = dict(zip(active, self.batches.run(self._apply_batch, [jobs[n] for n in active], shapes), strict=True))
        return [made[n] if n in made else unedited(*job) for n, job in enumerate(jobs)]

    def _analyse_batch(self, sources: list[Source]) -> list[ImageAnalysis]:
        """Fig. 3 up to the region: encode, the source pass, and Eq. 8."""
        model, config, letterboxes = self.model, self.config, [source.letterbox for source in sources]
        images = [to_unit_range(to_device(source.image, model.device)) for source in sources]
        fitted = torch.stack([letterbox.fit(image) for letterbox, image in zip(letterboxes, images, strict=True)])
        with read_properties(model, self.gate) as read_latent:
            latent = model.encode(fitted)  # Z
            context = model.encode_prompts([source.prompt for source in sources])
            noise = seeded_noise([source.image for source in sources], [source.seed for source in sources], latent)
            trajectory, cross_attention = source_pass(model, config, latent, context, noise)  # C
            decoded = model.decode(latent)  # D(Z), once for all edits

        words = [model.locate_words(source.prompt, keep_stopwords=config.keep_stopwords) for source in sources]
        saliency_map = torch.stack([source.fit_saliency_map(cross_attention) for source in sources])  # S
        regions, index = find_regions(cross_attention, saliency_map, words)  # M and i*, Eq. 8
        masks, latent_masks = draw_masks(regions, fitted, letterboxes, model.downsampling, config)
        readings = read_latent(latent, latent_masks)
        present = torch.stack([mask.any() for mask in masks])
        chosen, found = read_numbers(torch.stack([index, present]), cross_attention, decoded)
        return [
            ImageAnalysis(
                source=source,
                origin=self.origin,
                word=words[n][int(chosen[n])] if words[n] else None,
                cross_attention=cross_attention[n],
                region=regions[n],
                edit_mask=masks[n],
                is_empty=not found[n],
                latent_mask=latent_masks[n : n + 1],
                latent=latent[n : n + 1],
                context=context[n : n + 1],
                trajectory=[(noisy[n : n + 1], noise[n : n + 1]) for noisy, noise in trajectory],
                decoded=decoded[n : n + 1],
                properties=photometric_properties(images[n][None], masks[n][None])[0],
                readout_properties=readings[n],
            )
            for n, source in enumerate(sources)
        ]

    def _apply_batch(self, jobs: list[tuple[ImageAnalysis, Edit]]) -> list[EditedImage]:
        """Fig. 3 from the region on: edit the latent, the target pass with the injected region, decode, bound."""
        model, config, analyses = self.model, self.config, [analysis for analysis, _ in jobs]
        settings = self.calibration, config
        edited_latents = [edit_latent(e, a.latent, a.latent_mask, a.properties[None], *settings) for a, e in jobs]
        weights = [edit.injection_weight(config) if analysis.word else 0.0 for analysis, edit in jobs]  # of the token
        with read_properties(model, self.gate) as read_latent:
            inserted = inserted_tokens(model, analyses, [edit.inserted_word for _, edit in jobs])
            output = denoise(model, config, analyses, torch.cat(edited_latents), inserted, weights)  # Z_E → Z_out
            residual = decode_residual(model, analyses, output)  # D(Z_out) − D(Z)
        readings = read_latent(output, torch.cat([analysis.latent_mask for analysis in analyses]))
        bounds = property_bounds(self.calibration.std, config.max_std)
        bounded = [
            bounded_edit(analysis, residual[n], readings[n], bounds, keeps_mean=edit.keeps_mean)
            for n, (analysis, edit) in enumerate(jobs)
        ]
        numbers = read_numbers(torch.stack([measurements for _, measurements in bounded]), residual)
        return [edited(*job, image, row) for job, (image, _), row in zip(jobs, bounded, numbers, strict=True)]


def _reload(folder: str, name: str, options: dict[str, Any]) -> SaliencyEditor:
    return replace(SaliencyEditor.from_pretrained(folder, **options), name=name)
