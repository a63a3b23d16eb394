"""The classical augmentations of the paper's comparison (Sec. 5.6), each of an image and its saliency map.

The paper counts twelve and names ten; the other two here, brightness and colour, are the whole-frame
counterparts of its own edits. What moves pixels moves the map alike; what changes them leaves the map alone,
as the paper does. Strengths come from the caller's generator, never from torch's.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import PIL.Image
import torch
from kornia.filters import motion_blur as blur_along
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

Augmented = tuple[Tensor, Tensor]
Classical = Callable[[Tensor, Tensor, torch.Generator], Augmented]


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A draw from [low, high)."""
    return low + (high - low) * torch.rand((), generator=generator).item()


def _geometric(move: Callable[[Tensor, torch.Generator], Tensor]) -> Classical:
    """An augmentation that moves image and map alike: the same draws for both."""

    def augment(image: Tensor, saliency_map: Tensor, generator: torch.Generator) -> Augmented:
        state = generator.get_state()
        moved = move(image, generator)
        generator.set_state(state)
        return moved, move(saliency_map, generator)

    return augment


def _photometric(change: Callable[[Tensor, torch.Generator], Tensor]) -> Classical:
    """An augmentation of the image alone."""
    return lambda image, saliency_map, generator: (change(image, generator), saliency_map)


def rotate(picture: Tensor, generator: torch.Generator) -> Tensor:
    """By up to 15 degrees either way; corners are black."""
    rotated: Tensor = F.rotate(picture, uniform(-15, 15, generator), InterpolationMode.BILINEAR)
    return rotated


def shear(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Sideways, by up to 15 degrees either way."""
    slant = [uniform(-15, 15, generator), 0.0]
    sheared: Tensor = F.affine(picture, 0.0, [0, 0], 1.0, slant, InterpolationMode.BILINEAR)
    return sheared


def crop(picture: Tensor, generator: torch.Generator) -> Tensor:
    """A random window with sides of 70 to 100 %, at the picture's size."""
    height, width = picture.shape[-2:]
    share, y, x = (torch.rand((), generator=generator).item() for _ in range(3))
    tall, wide = round((0.7 + 0.3 * share) * height), round((0.7 + 0.3 * share) * width)
    top, left = int(y * (height - tall + 1)), int(x * (width - wide + 1))
    cropped: Tensor = F.resized_crop(picture, top, left, tall, wide, [height, width], antialias=True)
    return cropped


def compress(image: Tensor, generator: torch.Generator) -> Tensor:
    """As a JPEG of quality 10 to 50; by Pillow, for torchvision's encoder is on its way out."""
    file = io.BytesIO()
    F.to_pil_image(image).save(file, "JPEG", quality=int(uniform(10, 51, generator)))
    with PIL.Image.open(file) as picture:
        compressed: Tensor = F.pil_to_tensor(picture)
    return compressed


def blur_motion(image: Tensor, generator: torch.Generator) -> Tensor:
    """Along 3, 5, 7 or 9 pixels in any direction."""
    length, angle = 3 + 2 * int(uniform(0, 4, generator)), uniform(0, 180, generator)
    return _in_floats(image, lambda pixels: blur_along(pixels[None], length, angle, 0.0, "replicate")[0])


def add_noise(image: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian, with 2 to 10 % of full scale as standard deviation."""
    deviation = uniform(0.02, 0.10, generator)
    return _in_floats(image, lambda pixels: pixels + deviation * torch.randn(pixels.shape, generator=generator))


def change_contrast(image: Tensor, generator: torch.Generator) -> Tensor:
    """Of the whole image, by 0.5 to 1.8: to the paper's largest α, and as far down."""
    changed: Tensor = F.adjust_contrast(image, uniform(0.5, 1.8, generator))
    return changed


def change_brightness(image: Tensor, generator: torch.Generator) -> Tensor:
    """Of the whole image, by up to a quarter of full scale either way."""
    shift = uniform(-0.25, 0.25, generator)
    return _in_floats(image, lambda pixels: pixels + shift)


def change_color(image: Tensor, generator: torch.Generator) -> Tensor:
    """Saturation by 0.5 to 1.5, hue by up to a tenth of the circle either way."""
    saturated = F.adjust_saturation(image, uniform(0.5, 1.5, generator))
    changed: Tensor = F.adjust_hue(saturated, uniform(-0.1, 0.1, generator))
    return changed


def _in_floats(image: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    pixels = change(image.float() / 255).clamp(0, 1)
    return (pixels * 255).round().to(torch.uint8)


CLASSICAL: dict[str, Classical] = {
    "horizontal flip": _geometric(lambda picture, _: F.horizontal_flip(picture)),
    "vertical flip": _geometric(lambda picture, _: F.vertical_flip(picture)),
    "rotation": _geometric(rotate),
    "cropping": _geometric(crop),
    "shearing": _geometric(shear),
    "JPEG": _photometric(compress),
    "motion blur": _photometric(blur_motion),
    "inversion": _photometric(lambda image, _: F.invert(image)),
    "noise": _photometric(add_noise),
    "contrast": _photometric(change_contrast),
    "brightness": _photometric(change_brightness),
    "color": _photometric(change_color),
}
