"""Saliency metrics: CC, SIM, KLD, NSS, four AUCs and IG, each as ``preset`` defines it (see ``presets``).

A prediction comes first, then the ground truth: a saliency map, or a fixation map that counts fixations. All are
(..., H, W), integer or floating; results are (...,), float64 on the prediction's device, without a gradient. What is
not defined is NaN: a constant map where a metric divides by its spread, an empty map where it is to sum to 1, a map
without fixations, a map with NaN. ``presets.definitions(preset)`` says in words what each number is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from augsal_transforms.metrics.presets import Preset, find_preset
from augsal_transforms.metrics.roc import roc_area


def cc(prediction: Tensor, saliency_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Pearson's correlation of two maps, in [−1, 1]; the same under every preset.

    Args:
        prediction: (..., H, W).
        saliency_map: Shaped like ``prediction``.
        preset: ``"salicon"``, ``"tuebingen"``, ``"mit_matlab"`` or ``"augsal"``.

    Returns:
        (...,); NaN where a map is constant.
    """
    find_preset(preset)
    first, second = (_standardised(field, ddof=0) for field in _matching(prediction, saliency_map=saliency_map))
    return (first * second).mean(-1)


def sim(prediction: Tensor, saliency_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Similarity: what two maps, each scaled to a sum of 1, have in common, in [0, 1]. Arguments as in ``cc``.

    Where a preset subtracts the minimum first, a constant map is undefined.
    """
    minmax = find_preset(preset).minmax
    first, second = (_density(field, minmax) for field in _matching(prediction, saliency_map=saliency_map))
    return torch.minimum(first, second).sum(-1)


def kld(prediction: Tensor, saliency_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Σ q log(ε + q / (p + ε)), the divergence of the prediction p from the map q, in nats. Arguments as in ``cc``.

    Note:
        MATLAB's code scores an empty map too, an empty ground truth with 0, which is perfect. Here it is undefined.
    """
    eps = find_preset(preset).kld_eps
    p, q = (_density(field, minmax=False) for field in _matching(prediction, saliency_map=saliency_map))
    return (q * (eps + q / (p + eps)).log()).sum(-1)


def nss(prediction: Tensor, fixation_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Normalised scanpath saliency: the mean at fixations of the prediction in its standard deviations.

    Args:
        prediction: (..., H, W).
        fixation_map: How often each pixel was fixated, shaped like ``prediction``; never its blur, which tells
            less of a prediction than it seems to.
        preset: As in ``cc``.

    Returns:
        (...,); NaN where the prediction is constant or nothing was fixated.
    """
    rules = find_preset(preset)
    prediction, fixations = _matching(prediction, fixation_map=fixation_map)
    weight = _fixations(fixations, rules)
    return (_standardised(prediction, rules.ddof) * weight).sum(-1) / weight.sum(-1)


def auc_judd(prediction: Tensor, fixation_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """AUC of fixations against the pixels without one, thresholds at the fixated values. Arguments as in ``nss``.

    Note:
        With N fixations it is about 1 / 2N too high: between two fixated values the curve is a straight line.
        MATLAB's code adds random jitter to break ties; here it adds none, and there a constant map is undefined.
    """
    rules = find_preset(preset)
    prediction, fixations = _matching(prediction, fixation_map=fixation_map)
    unfixated = (fixations == 0).double()
    area = roc_area(prediction, _fixations(fixations, rules), unfixated, points=rules.judd)
    return torch.where(_constant(prediction), torch.nan, area) if rules.judd == "pixel" else area


def auc_tuebingen(prediction: Tensor, fixation_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """AUC of fixations against all pixels, as the MIT/Tübingen benchmark has it. Arguments as in ``nss``.

    A constant map scores 1/2.
    """
    rules = find_preset(preset)
    prediction, fixations = _matching(prediction, fixation_map=fixation_map)
    return roc_area(prediction, _fixations(fixations, rules), torch.ones_like(prediction))


def auc_borji(prediction: Tensor, fixation_map: Tensor, *, seed: int = 0, preset: str = "tuebingen") -> Tensor:
    """AUC of fixations against random pixels.

    The benchmarks' mean over splits is one area against all splits' pixels: the area is linear in its negatives.

    Args:
        prediction: (..., H, W).
        fixation_map: As in ``nss``.
        seed: Draws the random pixels, on the CPU and for each item alike, so that neither the device nor the
            rest of a batch matters; give each image of a data set its own.
        preset: As in ``cc``.

    Returns:
        (...,); NaN where nothing was fixated.
    """
    rules = find_preset(preset)
    prediction, fixations = _matching(prediction, fixation_map=fixation_map)
    each, count = rules.negatives
    fixated = (fixations > 0).sum(-1).flatten().tolist()
    draws = [count * n if each == "each" else count for n in fixated]
    drawn = {n: _random_pixels(n, prediction.shape[-1], seed) for n in set(draws)}
    negatives = torch.stack([drawn[n] for n in draws]).view(prediction.shape).to(prediction.device)
    return roc_area(_levels(prediction, rules), _fixations(fixations, rules), negatives)


def sauc(prediction: Tensor, fixation_map: Tensor, other_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Shuffled AUC: fixations against those of other images, so that a centre bias gains nothing.

    Args:
        prediction: (..., H, W).
        fixation_map: As in ``nss``.
        other_map: How often the fixations of other images fall on each pixel, shaped like ``prediction`` or
            (H, W); scaled to this image's size if theirs differ.
        preset: As in ``cc``.

    Returns:
        (...,); NaN where nothing was fixated, here or elsewhere.

    Note:
        MATLAB's code takes as many random others as there are fixations, a hundred times. All of them at once
        are what that mean tends to, without the chance.
    """
    rules = find_preset(preset)
    prediction, fixations, others = _matching(prediction, fixation_map=fixation_map, other_map=other_map)
    if rules.others != "fixations in other images":
        others = (others > 0).double()
    if rules.others == "pixels fixated in other images alone":
        others = others * (fixations == 0)
    return roc_area(_levels(prediction, rules), _fixations(fixations, rules), others)


def ig(prediction: Tensor, fixation_map: Tensor, baseline: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Information gain over a baseline at fixations, in bits: the mean of log₂ (ε + p) − log₂ (ε + b).

    Args:
        prediction: (..., H, W), a density up to its scale, not its logarithm.
        fixation_map: As in ``nss``.
        baseline: What one would predict without the image, such as the mean saliency map of other images;
            shaped like ``prediction`` or (H, W).
        preset: As in ``cc``.

    Returns:
        (...,); NaN where nothing was fixated; −∞ where ε is 0 and the prediction excludes a fixated pixel.
    """
    rules = find_preset(preset)
    prediction, fixations, baseline = _matching(prediction, fixation_map=fixation_map, baseline=baseline)
    weight = _fixations(fixations, rules)
    p, b = (_density(field, rules.minmax) + rules.ig_eps for field in (prediction, baseline))
    gain = torch.where(weight > 0, p.log2() - b.log2(), 0)
    return (gain * weight).sum(-1) / weight.sum(-1)


def _matching(prediction: Tensor, **others: Tensor) -> list[Tensor]:
    """All maps as (..., pixels) float64, those of other images spread over the batch; checks their shapes."""
    if prediction.ndim < 2 or 0 in prediction.shape[-2:]:
        raise ValueError(f"`prediction` must be (..., H, W) and not empty, got {tuple(prediction.shape)}.")
    for name, other in others.items():
        shared = name in ("other_map", "baseline") and other.shape == prediction.shape[-2:]
        if other.shape != prediction.shape and not shared:
            raise ValueError(
                f"`{name}` must be shaped like `prediction`, {tuple(prediction.shape)}, got {tuple(other.shape)}. "
                "Resize the prediction to its image, and count fixations in the image's own pixels."
            )
    fields = (prediction, *(other.expand_as(prediction) for other in others.values()))
    return [field.detach().as_subclass(Tensor).to(prediction.device).double().flatten(-2) for field in fields]


def _fixations(counts: Tensor, rules: Preset) -> Tensor:
    return counts if rules.repeats else (counts > 0).double()


def _constant(field: Tensor) -> Tensor:
    return field.amax(-1) == field.amin(-1)


def _standardised(field: Tensor, ddof: int) -> Tensor:
    """Mean 0 and standard deviation 1; NaN where a map is constant."""
    spread = torch.where(_constant(field), torch.nan, field.std(-1, correction=ddof))
    return (field - field.mean(-1, keepdim=True)) / spread[..., None]


def _density(field: Tensor, minmax: bool) -> Tensor:
    """Scaled to a sum of 1, NaN where it is 0; negative values are raised to 0 with all others, as pysaliency does."""
    lowest = field.amin(-1, keepdim=True)
    field = field - (lowest if minmax else lowest.clamp(max=0))
    return field / field.sum(-1, keepdim=True)


def _levels(field: Tensor, rules: Preset) -> Tensor:
    """How many of the thresholds 1 / levels, 2 / levels, …, 1 a map reaches between its minimum and its maximum."""
    if rules.levels is None:
        return field
    low, high = field.amin(-1, keepdim=True), field.amax(-1, keepdim=True)
    share = (field - low) / torch.where(high > low, high - low, 1)
    thresholds = torch.arange(1, rules.levels + 1, device=field.device).double() / rules.levels
    return torch.where(share.isnan(), torch.nan, torch.bucketize(share, thresholds, right=True).double())


def _random_pixels(count: int, pixels: int, seed: int) -> Tensor:
    """How often each pixel is among ``count`` random ones, (pixels,)."""
    places = torch.randint(pixels, (count,), generator=torch.Generator().manual_seed(seed))
    return torch.bincount(places, minlength=pixels).double()
