"""The classical augmentations that the paper compares with (Sec. 5.6). Each takes an image and its saliency map.

The paper counts twelve and names ten. The other two here, brightness and colour, are the whole-frame counterparts of
its own edits. Geometric augmentations move image and map alike; photometric ones change the image and leave the map,
as in the paper. Parameters are drawn from the caller's generator, never from torch's global one.
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
    """Draw a number from [low, high)."""
    return low + (high - low) * torch.rand((), generator=generator).item()


def _geometric(move: Callable[[Tensor, torch.Generator], Tensor]) -> Classical:
    """Make an augmentation that moves image and map alike, with the same draws for both."""

    def augment(image: Tensor, saliency_map: Tensor, generator: torch.Generator) -> Augmented:
        state = generator.get_state()
        moved = move(image, generator)
        generator.set_state(state)
        return moved, move(saliency_map, generator)

    return augment


def _photometric(change: Callable[[Tensor, torch.Generator], Tensor]) -> Classical:
    """Make an augmentation that changes the image alone."""
    return lambda image, saliency_map, generator: (change(image, generator), saliency_map)


def rotate(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by −15 to 15 degrees; corners become black."""
    rotated: Tensor = F.rotate(picture, uniform(-15, 15, generator), InterpolationMode.BILINEAR)
    return rotated


def shear(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Shear horizontally by −15 to 15 degrees."""
    slant = [uniform(-15, 15, generator), 0.0]
    sheared: Tensor = F.affine(picture, 0.0, [0, 0], 1.0, slant, InterpolationMode.BILINEAR)
    return sheared


def crop(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Crop a random window of 70 to 100 % of each side and resize it to the picture's size."""
    height, width = picture.shape[-2:]
    scale, y, x = (torch.rand((), generator=generator).item() for _ in range(3))
    tall, wide = round((0.7 + 0.3 * scale) * height), round((0.7 + 0.3 * scale) * width)
    top, left = int(y * (height - tall + 1)), int(x * (width - wide + 1))
    cropped: Tensor = F.resized_crop(picture, top, left, tall, wide, [height, width], antialias=True)
    return cropped


def compress(image: Tensor, generator: torch.Generator) -> Tensor:
    """Compress as a JPEG of quality 10 to 50, by Pillow, because torchvision's encoder is deprecated."""
    file = io.BytesIO()
    F.to_pil_image(image).save(file, "JPEG", quality=int(uniform(10, 51, generator)))
    with PIL.Image.open(file) as picture:
        compressed: Tensor = F.pil_to_tensor(picture)
    return compressed


def blur_motion(image: Tensor, generator: torch.Generator) -> Tensor:
    """Blur along 3, 5, 7 or 9 pixels in a random direction."""
    length, angle = 3 + 2 * int(uniform(0, 4, generator)), uniform(0, 180, generator)
    return _in_floats(image, lambda pixels: blur_along(pixels[None], length, angle, 0.0, "replicate")[0])


def add_noise(image: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise with a standard deviation of 2 to 10 % of full scale."""
    std = uniform(0.02, 0.10, generator)
    return _in_floats(image, lambda pixels: pixels + std * torch.randn(pixels.shape, generator=generator))


def change_contrast(image: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply the contrast of the whole image by 0.5 to 1.8; 1.8 is the paper's largest α."""
    changed: Tensor = F.adjust_contrast(image, uniform(0.5, 1.8, generator))
    return changed


def change_brightness(image: Tensor, generator: torch.Generator) -> Tensor:
    """Add −0.25 to 0.25 of full scale to the whole image."""
    shift = uniform(-0.25, 0.25, generator)
    return _in_floats(image, lambda pixels: pixels + shift)


def change_color(image: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply the saturation by 0.5 to 1.5, and turn the hue by −0.1 to 0.1 of the circle."""
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
