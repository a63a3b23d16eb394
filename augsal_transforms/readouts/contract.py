"""The interface of a saliency predictor, one method ``predict``, and the check of the maps that it returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class PredictsSaliency(Protocol):
    """A saliency model: a ``SaliencyPredictor``, or an object of yours with this method.

    A model on a GPU may say so in an attribute ``device``; a forked worker process then refuses it with advice.
    """

    def predict(self, images: list[Tensor]) -> Sequence[Tensor]:
        """S′ of images.

        Args:
            images: RGB images (3, H, W), uint8 or float in [0, 1], of any sizes.

        Returns:
            A map (1, H, W) per image, of the image's size, 0 or more. Its scale does not matter.
        """


def check_predictor(predictor: Any) -> PredictsSaliency:
    """Refuse what cannot predict.

    Raises:
        TypeError: If ``predictor`` has no method ``predict``, or is a class.
    """
    if isinstance(predictor, type) or not callable(getattr(predictor, "predict", None)):
        got = f"the class {predictor.__name__}" if isinstance(predictor, type) else repr(predictor)
        raise TypeError(
            "`predictor` must have a method `predict(images)` that returns a map (1, H, W) per image, got "
            f"{got[:200]}. `SaliencyPredictor.from_pretrained('photographs')` is one."
        )
    found: PredictsSaliency = predictor
    return found


def device_of(predictor: PredictsSaliency) -> torch.device:
    """The device that a predictor says it is on; the CPU where it does not say."""
    return torch.device(getattr(predictor, "device", "cpu"))


def predict_maps(predictor: PredictsSaliency, images: list[Tensor]) -> list[Tensor]:
    """The checked maps of a predictor.

    Args:
        predictor: Any predictor.
        images: RGB images (3, H, W), uint8 or float in [0, 1], of any sizes.

    Returns:
        A map (1, H, W) float32 per image, on the image's device, scaled to a maximum of 1; zeros stay zeros.

    Raises:
        TypeError: If the predictor returns something other than maps.
        ValueError: If the number, a shape or a value of the maps is wrong.
    """
    with torch.no_grad():
        maps = predictor.predict(images)
    if not isinstance(maps, (list, tuple, Tensor)):
        raise TypeError(f"`predict` must return a list of maps (1, H, W), one per image, got {type(maps).__name__}.")
    if len(maps) != len(images):
        raise ValueError(f"`predict` must return one map per image, {len(images)}, got {len(maps)}.")
    return [_check_map(saliency_map, image) for saliency_map, image in zip(maps, images, strict=True)]


def _check_map(saliency_map: Any, image: Tensor) -> Tensor:
    if not isinstance(saliency_map, Tensor) or saliency_map.is_complex():
        got = saliency_map.dtype if isinstance(saliency_map, Tensor) else type(saliency_map).__name__
        raise TypeError(f"`predict` must return maps as tensors of real numbers (1, H, W), got {got}.")
    if saliency_map.shape != (1, *image.shape[-2:]):
        raise ValueError(
            f"`predict` must return a map of the image's size, {(1, *image.shape[-2:])}, got "
            f"{tuple(saliency_map.shape)}. Resize it before it is returned."
        )
    values = saliency_map.detach().as_subclass(Tensor).to(image.device, torch.float32)
    low, high = values.amin(), values.amax()
    if not (low >= 0 and high < torch.inf):  # NaN is neither
        raise ValueError(
            f"`predict` must return finite maps of 0 or more, got values in [{low:.3g}, {high:.3g}]. Of a log density "
            "return the softmax over its pixels."
        )
    return values / high if high > 0 else values
