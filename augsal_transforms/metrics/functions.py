"""Saliency metrics: CC, SIM, KLD, NSS, four AUCs and IG, each as a ``preset`` defines it (see ``presets``).

Every function takes the prediction first, then the ground truth: a saliency map, or a fixation map that counts the
fixations on each pixel. Maps are (..., H, W), of any real type, on any device. Results are (...,) float64 on the CPU,
where they are computed, without a gradient. A metric that is undefined is NaN: for a constant map where the metric
divides by its standard deviation, for an empty map where it is scaled to a sum of 1, for a map without fixations, and
for a saliency map or prediction with NaN. ``definitions(preset)`` in ``table`` says in words what each number is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from augsal_transforms.metrics.inputs import check_density, is_constant, read_maps
from augsal_transforms.metrics.presets import Preset, find_preset
from augsal_transforms.metrics.roc import roc_area


def cc(prediction: Tensor, saliency_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Pearson's correlation of two maps, in [−1, 1]; the same under every preset.

    Args:
        prediction: (..., H, W), any scale; logits and log densities too.
        saliency_map: Shaped like ``prediction``.
        preset: ``"salicon"``, ``"tuebingen"``, ``"mit_matlab"`` or ``"augsal"``.

    Returns:
        (...,); NaN where a map is constant.

    Raises:
        TypeError: If a map is no dense, real tensor; this and the next for every metric.
        ValueError: If shapes differ, a fixation map does not hold counts, a map is negative that is to be scaled to a
            sum of 1, or there is no such preset.
    """
    find_preset(preset)
    first, second = (_standardised(one, ddof=0) for one in read_maps(prediction, saliency_map=saliency_map))
    return (first * second).mean(-1)


def sim(prediction: Tensor, saliency_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Similarity: Σ min(p, q) of two maps, each scaled to a sum of 1, in [0, 1].

    Args:
        prediction: (..., H, W); not negative, unless the preset subtracts the minimum first.
        saliency_map: Shaped like ``prediction``.
        preset: As in ``cc``.

    Returns:
        (...,); NaN where a map is empty. Where the preset subtracts the minimum first, a constant map is empty.
    """
    minmax = find_preset(preset).minmax
    prediction, saliency_map = read_maps(prediction, saliency_map=saliency_map)
    p, q = _density("prediction", prediction, minmax), _density("saliency_map", saliency_map, minmax)
    return torch.minimum(p, q).sum(-1)


def kld(prediction: Tensor, saliency_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Σ q log(ε + q / (p + ε)), the divergence of the prediction p from the saliency map q, in nats.

    Args:
        prediction: (..., H, W), not negative: a density up to its scale.
        saliency_map: Shaped like ``prediction``, not negative.
        preset: As in ``cc``.

    Returns:
        (...,); NaN where a map is empty.

    Note:
        MATLAB's code scores an empty map too, an empty ground truth with 0, which is perfect. Here it is undefined.
    """
    eps = find_preset(preset).kld_eps
    prediction, saliency_map = read_maps(prediction, saliency_map=saliency_map)
    p, q = _density("prediction", prediction, minmax=False), _density("saliency_map", saliency_map, minmax=False)
    return (q * (eps + q / (p + eps)).log()).sum(-1)


def nss(prediction: Tensor, fixation_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Normalised scanpath saliency: the standardised prediction (mean 0, deviation 1), averaged over fixations.

    Args:
        prediction: (..., H, W), any scale; logits and log densities too.
        fixation_map: Number of fixations on each pixel, shaped like ``prediction``; 0 and 255 do as well as 0 and 1.
            A blurred map is refused: with it, the same prediction would score lower.
        preset: As in ``cc``.

    Returns:
        (...,); NaN where the prediction is constant or nothing was fixated.
    """
    rules = find_preset(preset)
    prediction, counts = read_maps(prediction, fixation_map=fixation_map)
    weight = _weights(counts, rules)
    return (_standardised(prediction, rules.ddof) * weight).sum(-1) / weight.sum(-1)


def auc_judd(prediction: Tensor, fixation_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """AUC of fixations against the pixels without one, with thresholds at the fixated values.

    Args:
        prediction: (..., H, W), any scale.
        fixation_map: As in ``nss``.
        preset: As in ``cc``.

    Returns:
        (...,); NaN where nothing was fixated, or every pixel was.

    Note:
        With N fixations it is about 1 / 2N too high: between two fixated values the curve is a straight line.
        MATLAB's code adds random jitter to break ties. Here it adds none: under its presets a constant map is
        undefined, and a map with many ties, most of whose pixels are fixated, can leave [0, 1].
    """
    rules = find_preset(preset)
    prediction, counts = read_maps(prediction, fixation_map=fixation_map)
    unfixated = (counts == 0).double()
    area = roc_area(prediction, _weights(counts, rules), unfixated, points=rules.judd)
    return torch.where(is_constant(prediction), torch.nan, area) if rules.judd == "pixel" else area


def auc_tuebingen(prediction: Tensor, fixation_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """AUC of fixations against all pixels, as the MIT/Tübingen benchmark defines it.

    Args:
        prediction: (..., H, W), any scale.
        fixation_map: As in ``nss``.
        preset: As in ``cc``.

    Returns:
        (...,); 1/2 for a constant prediction, NaN where nothing was fixated.
    """
    rules = find_preset(preset)
    prediction, counts = read_maps(prediction, fixation_map=fixation_map)
    return roc_area(prediction, _weights(counts, rules), torch.ones_like(prediction))


def auc_borji(prediction: Tensor, fixation_map: Tensor, *, seed: int = 0, preset: str = "tuebingen") -> Tensor:
    """AUC of fixations against random pixels.

    The benchmarks' mean over splits is one area against the pixels of all splits: the area is linear in its negatives.

    Args:
        prediction: (..., H, W), any scale.
        fixation_map: As in ``nss``.
        seed: Seed of the random pixels. Every item of a batch uses the same draws, so that an item's score does not
            depend on the rest of its batch; give each image of a data set a seed of its own.
        preset: As in ``cc``.

    Returns:
        (...,); NaN where nothing was fixated.
    """
    rules = find_preset(preset)
    if not isinstance(seed, int):
        raise TypeError(f"`seed` must be an int, got {type(seed).__name__}.")
    prediction, counts = read_maps(prediction, fixation_map=fixation_map)
    each, number = rules.borji_negatives
    fixated = (counts > 0).sum(-1).flatten().tolist()
    draws = [number * n if each == "each" else number for n in fixated]
    drawn = {n: _random_pixels(n, prediction.shape[-1], seed) for n in set(draws)}
    negatives = torch.stack([drawn[n] for n in draws]).view(prediction.shape)
    return roc_area(_quantised(prediction, rules), _weights(counts, rules), negatives)


def sauc(prediction: Tensor, fixation_map: Tensor, other_map: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Shuffled AUC: fixations against those of other images, so that a centre bias gains nothing.

    Args:
        prediction: (..., H, W), any scale.
        fixation_map: As in ``nss``.
        other_map: Number of fixations of other images on each pixel, shaped like ``prediction`` or (H, W). Fixations
            of images of another size are scaled to this image's size first.
        preset: As in ``cc``.

    Returns:
        (...,); NaN where nothing was fixated, here or in the other images.

    Note:
        MATLAB's code draws as many other fixations as the image has, a hundred times, and takes the mean. Here all
        of them count at once: the value to which that mean converges, without a random part.
    """
    rules = find_preset(preset)
    prediction, counts, negatives = read_maps(prediction, fixation_map=fixation_map, other_map=other_map)
    if rules.sauc_negatives != "fixations in other images":
        negatives = (negatives > 0).double()
    if rules.sauc_negatives == "pixels fixated in other images alone":
        negatives = negatives * (counts == 0)
    return roc_area(_quantised(prediction, rules), _weights(counts, rules), negatives)


def ig(prediction: Tensor, fixation_map: Tensor, baseline: Tensor, *, preset: str = "tuebingen") -> Tensor:
    """Information gain over a baseline, in bits: the mean over fixations of log₂ (ε + p) − log₂ (ε + b).

    Args:
        prediction: (..., H, W), a density up to its scale, not its logarithm.
        fixation_map: As in ``nss``.
        baseline: Density that predicts without the image, such as the mean saliency map of other images; shaped like
            ``prediction`` or (H, W).
        preset: As in ``cc``.

    Returns:
        (...,); NaN where nothing was fixated. Where ε is 0: −∞ if the prediction is 0 at a fixated pixel, +∞ if the
        baseline is, NaN if both are.

    Raises:
        ValueError: If a map is negative and the preset does not subtract the minimum first.
    """
    rules = find_preset(preset)
    prediction, counts, baseline = read_maps(prediction, fixation_map=fixation_map, baseline=baseline)
    weight = _weights(counts, rules)
    p = _density("prediction", prediction, rules.minmax) + rules.ig_eps
    b = _density("baseline", baseline, rules.minmax) + rules.ig_eps
    gain = torch.where(weight > 0, p.log2() - b.log2(), 0)
    return (gain * weight).sum(-1) / weight.sum(-1)


def _weights(counts: Tensor, rules: Preset) -> Tensor:
    return counts if rules.repeats else (counts > 0).double()


def _standardised(image_map: Tensor, ddof: int) -> Tensor:
    """Mean 0 and standard deviation 1; NaN where a map is constant."""
    std = image_map.std(-1, correction=min(ddof, image_map.shape[-1] - 1))  # torch warns of 0 degrees of freedom
    std = torch.where(is_constant(image_map), torch.nan, std)
    return (image_map - image_map.mean(-1, keepdim=True)) / std[..., None]


def _density(name: str, image_map: Tensor, minmax: bool) -> Tensor:
    """A map scaled to a sum of 1, NaN where its sum is 0; the argument ``name`` must not be negative."""
    lowest = image_map.amin(-1, keepdim=True)
    if not minmax:
        check_density(name, image_map)
        lowest = lowest.clamp(max=0)  # rounding alone; as in pysaliency, the whole map is raised by it
    density = image_map - lowest
    return density / density.sum(-1, keepdim=True)


def _quantised(image_map: Tensor, rules: Preset) -> Tensor:
    """The number of thresholds 1 / n, 2 / n, …, 1 that each value reaches, between the map's minimum and maximum."""
    if rules.thresholds is None:
        return image_map
    low, high = image_map.amin(-1, keepdim=True), image_map.amax(-1, keepdim=True)
    share = (image_map - low) / torch.where(high > low, high - low, 1)
    thresholds = torch.arange(1, rules.thresholds + 1).double() / rules.thresholds
    return torch.where(share.isnan(), torch.nan, torch.bucketize(share, thresholds, right=True).double())


def _random_pixels(number: int, pixels: int, seed: int) -> Tensor:
    """Count of each pixel among ``number`` random ones, (pixels,)."""
    places = torch.randint(pixels, (number,), generator=torch.Generator().manual_seed(seed))
    return torch.bincount(places, minlength=pixels).double()
