"""Measure a model: A, its pseudo-inverse, the gain through the whole path, and the bounds (Sec. 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from augsal_transforms.diffusion.calibration import Calibration, correct_gain, fit_decoder
from augsal_transforms.diffusion.letterbox import Letterbox, check_images
from augsal_transforms.diffusion.model import check_finite
from augsal_transforms.editor.constraint import measure_std
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.passes import decode_residual, denoise
from augsal_transforms.photometry import to_unit_range, weighted_mean

Progress = Callable[[Sequence[Any]], Iterable[Any]]
PROBE = 0.2  # size of a probe, in units of RGB in [−1, 1]: a tenth of full scale


@torch.no_grad()
def calibrate(
    editor: SaliencyEditor,
    images: list[Tensor] | Tensor,
    *,
    seed: int = 0,
    probes: int = 16,
    progress: Progress = iter,
) -> Calibration:
    """Measure A, b, A⁺ with its gain, γ and the two-sigma bounds of a model on these images.

    Args:
        editor: The editor to measure; it stays as it is.
        images: At least 32 images, better 200, each (3, H, W), uint8 or float in [0, 1].
        seed: Seed of the colour jitter and of the areas of interest.
        probes: Number of images that the gain is measured on, at least 1.
        progress: Wrapper of the images that is iterated over, three times in all, such as ``tqdm``.

    Returns:
        The calibration; ``calibration.save(folder, model_folder)`` writes it.

    Raises:
        TypeError: If ``editor`` is no editor, or the images are no tensors.
        ValueError: If there are fewer than 32 images or 1 probe, the decoder is not nearly linear (R² < 0.6), or a
            photometric property is the same in all images.
    """
    if not isinstance(editor, SaliencyEditor):
        raise TypeError(f"`editor` must be a SaliencyEditor, got {editor!r}. Load one with `from_pretrained`.")
    images = check_images(images)
    if probes < 1:
        raise ValueError(f"`probes` must be 1 or more, got {probes!r}.")
    if len(images) < 32:
        raise ValueError(f"`images` must be 32 or more to calibrate on, 200 are better, got {len(images)}.")
    std = _positive_std(progress(images), seed)
    decoder, intercept, explained = fit_decoder(*_cells(editor, progress(images), seed))
    if not explained >= 0.6:
        raise ValueError(
            f"The decoder is not nearly linear on these images: R² = {explained:.2f}, needed 0.60. "
            "Are the weights trained?"
        )
    calibration = Calibration(
        decoder=decoder,
        intercept=intercept,
        pseudo_inverse=torch.linalg.pinv(decoder.double()).float(),
        std=std,
        calibrated=True,
        source=f"{len(images)} images, R² = {explained:.3f}; gain at {editor.config.steps} step(s), "
        f"τ = {editor.config.noise_level:g}, w = {editor.config.guidance:g}",
    ).to(editor.model.device)
    gain = measure_gain(replace(editor, calibration=calibration), images[:probes], progress)
    corrected = correct_gain(calibration.pseudo_inverse.cpu(), gain.cpu())  # in float64, which MPS does not have
    return replace(calibration, pseudo_inverse=corrected.to(editor.model.device))


def _positive_std(images: Iterable[Tensor], seed: int) -> Tensor:
    """``measure_std``; a property that never varies is an error, because no edit would be allowed to move it."""
    std = measure_std(map(to_unit_range, images), seed=seed)
    if not bool((std > 1e-4).all()):  # of a constant, rounding leaves about 1e-8
        raise ValueError(
            f"`images` must differ in brightness, colour and contrast, got standard deviations of {std.tolist()}: "
            "no edit would be allowed. Calibrate on photographs."
        )
    return std


def _cells(editor: SaliencyEditor, images: Iterable[Tensor], seed: int) -> tuple[Tensor, Tensor]:
    """One row per latent cell: its latent (N, 4) and its mean decoded RGB in [−1, 1] (N, 3)."""
    model, generator = editor.model, torch.Generator().manual_seed(seed)
    latents, colors = [], []
    for image in images:
        letterbox = Letterbox.plan((image.shape[-2], image.shape[-1]), model.resolution, model.multiple)
        fitted = letterbox.fit(to_unit_range(image))
        # Channels of photographs are correlated; without jitter the fit could not separate them.
        gain, offset = torch.rand(2, 3, 1, 1, generator=generator).to(fitted)
        jittered = ((0.6 + 0.8 * gain) * (fitted - 0.5) + 0.5 + (0.25 * offset - 0.125)).clamp(0, 1)
        latent = model.encode(torch.stack([fitted, jittered]).to(model.device))
        decoded = model.decode(latent)
        rgb = F.avg_pool2d(2 * decoded - 1, model.downsampling)
        latents.append(latent.movedim(1, -1).flatten(0, -2).cpu())
        colors.append(rgb.movedim(1, -1).flatten(0, -2).cpu())
    return torch.cat(latents), torch.cat(colors)


@torch.no_grad()
def measure_gain(editor: SaliencyEditor, images: list[Tensor], progress: Progress = iter) -> Tensor:
    """G, (3, 3): the change of decoded RGB per unit of each channel that is added along A⁺.

    The path measured is edit, target pass and decoder, in the core of a central region, because the target pass
    takes back a part of every edit.

    Args:
        editor: The editor to measure.
        images: At least one image, each (3, H, W), uint8 or float in [0, 1].
        progress: Wrapper of the images' analyses that is iterated over, such as ``tqdm``.

    Raises:
        ValueError: If the editor's ``threshold`` leaves no core.
    """
    model, blobs = editor.model, [_central_blob(image.shape[-2], image.shape[-1]) for image in images]
    analyses = editor.analyse(images, blobs)
    if not all(bool((analysis.edit_mask > 0.9).any()) for analysis in analyses):
        raise ValueError(
            f"`threshold` must leave pixels with an edit mask above 0.9 to measure on, got {editor.config.threshold}. "
            "Calibrate with the default `EditConfig()`."
        )
    channels = editor.calibration.pseudo_inverse
    gain = torch.zeros(3, 3, device=channels.device)
    for analysis in progress(analyses):
        core = (analysis.edit_mask > 0.9).float()[None]
        for channel, row in zip(channels, gain, strict=True):
            for sign in (-1, 1):
                edited_latent = analysis.latent + analysis.latent_mask * (sign * PROBE * channel)[:, None, None]
                output = denoise(model, editor.config, [analysis], edited_latent, model.empty_token, [0.0])
                residual = decode_residual(model, [analysis], output)
                check_finite(residual)
                change = analysis.source.letterbox.restore(residual[0])
                row += 2 * weighted_mean(change[None], core)[0] / (sign * PROBE)
    return gain / (2 * len(analyses))


def _central_blob(height: int, width: int) -> Tensor:
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)[None]
    return torch.exp(-(x**2 + y**2) / 0.5)[None]
