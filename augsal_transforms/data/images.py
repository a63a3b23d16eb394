"""An RGB image and a saliency map from whatever a loader returns, or a clear refusal."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from augsal_transforms.data.names import printable
from augsal_transforms.data.pictures import Picture, Source
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.files import open_regular
from augsal_transforms.tv_tensors import SaliencyMap

MAX_PIXELS = 50_000_000  # beyond this a file is an attack or an accident
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # no other decoder: Pillow's for EPS starts Ghostscript
_ORIENTATION = 0x0112  # EXIF
_UNDERSHOOT = 0.15  # share of a map's maximum that a bicubic resize may leave below 0
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64)


def read_image(path: str | Source) -> PIL.Image.Image:
    """Read a ``Picture``, or a JPEG, PNG, WebP or BMP file, refusing bombs; EXIF rotation is reported, not applied.

    Saliency maps are drawn for the stored orientation, so turning the image would separate it from its map.

    Raises:
        ValueError: If the file is not a whole image of at most 50 megapixels; the path is named.
    """
    if isinstance(path, Picture):
        return path.read()
    with _opened(Path(path)) as image:
        image.load()
    if is_rotated(image):
        warnings.warn(
            f"{printable(path)} has an EXIF rotation; its stored orientation is used, as saliency maps do.",
            stacklevel=2,
        )
    return image


def read_size(path: str | Source) -> tuple[int, int]:
    """(H, W) of an image file, from its header alone, or of a ``Picture``.

    Raises:
        ValueError: If the file is no image of at most 50 megapixels; the path is named.
    """
    if isinstance(path, Picture):
        return path.read_size()
    with _opened(Path(path)) as image:
        return image.height, image.width


@contextmanager
def _opened(path: Path) -> Iterator[PIL.Image.Image]:
    """An image file whose header was read; whatever its decoder raises is a ``ValueError`` that names the file."""
    try:
        with open_regular(path) as file:
            image = PIL.Image.open(file, formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}×{image.height} pixels, at most {MAX_PIXELS // 10**6} million are read")
            yield image
    except Exception as error:  # a damaged file fails anywhere in a decoder, with any exception
        if not belongs_to_image(error):
            raise
        formats = f" ({', '.join(FORMATS)} are read)" if isinstance(error, PIL.UnidentifiedImageError) else ""
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = "no image format was recognised" if formats else text
        raise ValueError(f"{printable(path)} is not a readable image: {printable(reason)}{formats}.") from error


def is_rotated(image: PIL.Image.Image) -> bool:
    """Whether EXIF asks viewers to turn or mirror the image; EXIF that cannot be read asks for nothing."""
    try:
        return image.getexif().get(_ORIENTATION) in range(2, 9)
    except Exception:  # damaged metadata fails anywhere in Pillow's parser
        return False


def to_rgb_image(image: Any) -> tv_tensors.Image:
    """A PIL image, array or tensor as RGB (3, H, W), uint8 or float in [0, 1].

    Grey, alpha, palette, CMYK and 16-bit PIL images are converted. Arrays are (H, W) or (H, W, C), tensors (H, W) or
    (C, H, W), of 1 to 4 channels, uint8 or float.

    Raises:
        TypeError: If it is none of these.
        ValueError: If its shape, values or range are wrong.
    """
    if isinstance(image, PIL.Image.Image):
        return tv_tensors.Image(functional.pil_to_tensor(_to_rgb_pil(image)))
    plain = _to_tensor(image, "image")
    if isinstance(image, np.ndarray) and plain.ndim == 3:
        plain = plain.movedim(-1, 0)
    plain = plain[None] if plain.ndim == 2 else plain
    if plain.ndim != 3 or plain.shape[0] not in (1, 2, 3, 4) or 0 in plain.shape:
        raise ValueError(
            "`image` must be a tensor (C, H, W) or an array (H, W, C) with 1 to 4 channels and not empty, got "
            f"{tuple(image.shape)}.{_shape_advice('image', image)}"
        )
    if plain.dtype != torch.uint8 and plain.dtype not in _FLOATS:
        raise ValueError(
            f"`image` must be uint8 or float in [0, 1], got {image.dtype}. Convert 0–255 integers by "
            "`.to(torch.uint8)` or `.astype('uint8')`; divide 16-bit values by 65535."
        )
    if plain.is_floating_point() and not bool(((plain >= 0) & (plain <= 1)).all()):
        raise ValueError(
            f"`image` must lie in [0, 1], got values in [{plain.min():.3g}, {plain.max():.3g}]. Put the augmentation "
            "first in the Compose, before Normalize, and divide 0–255 floats by 255."
        )
    rgb = plain[:1].expand(3, -1, -1) if plain.shape[0] < 3 else plain[:3]
    return tv_tensors.Image(rgb.contiguous())


def _to_rgb_pil(image: PIL.Image.Image) -> PIL.Image.Image:
    with _pil_errors(image, "image"):
        if image.mode.startswith("I") or image.mode == "F":  # PIL would clip deep images at 255
            grey = _unit_peak(np.asarray(image, np.float64))
            return PIL.Image.fromarray((grey * 255).round().astype(np.uint8)).convert("RGB")
        if image.mode == "RGB":
            image.load()
            return image
        return (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")


def to_saliency_map(saliency_map: Any, size: tuple[int, int]) -> SaliencyMap:
    """A PIL image, array or tensor as a float32 map (1, H, W) in [0, 1] at the image's size.

    8-bit values are divided by 255; deeper ones, and floats above 1, by their maximum. The small negative values that
    a bicubic resize leaves become 0; other negative ones are refused. Another size is resized bilinearly, antialiased.

    Args:
        saliency_map: The map, (H, W) or (1, H, W), an array also (H, W, 1); colours are averaged to grey.
        size: (H, W) of its image.

    Raises:
        TypeError: If it is none of these.
        ValueError: If its shape is wrong, or it holds NaN, infinity or negative values, as standardised maps and log
            densities do.
    """
    if isinstance(saliency_map, PIL.Image.Image):
        with _pil_errors(saliency_map, "saliency_map"):
            deep = saliency_map.mode.startswith(("I", "F"))
            saliency_map = np.array(saliency_map if deep or saliency_map.mode == "L" else saliency_map.convert("L"))
    plain = _to_tensor(saliency_map, "saliency_map")
    if isinstance(saliency_map, np.ndarray) and plain.ndim == 3 and not _is_channel_first(plain, size):
        plain = plain.movedim(-1, 0)
    plain = plain[None] if plain.ndim == 2 else plain
    # (H, W, C) of a few rows looks like (C, H, W).
    last = tuple(plain.shape[:2]) == tuple(size) != tuple(plain.shape[1:])
    if plain.ndim != 3 or plain.shape[0] not in (1, 3, 4) or 0 in plain.shape or last:
        raise ValueError(
            f"`saliency_map` must be (H, W) or (1, H, W) and not empty, got {tuple(saliency_map.shape)}."
            f"{_shape_advice('saliency_map', saliency_map)}"
        )
    values = plain[:3].float().mean(0, keepdim=True) if len(plain) > 1 else plain.float()
    scaled = values.div_(255) if plain.dtype == torch.uint8 else _scaled(values, plain)
    if scaled.shape[-2:] != size:
        scaled = functional.resize_image(scaled, list(size), antialias=True).clamp(0, 1)
    return SaliencyMap(scaled)


def _scaled(values: Tensor, stored: Tensor) -> Tensor:
    """Deep or float values (1, H, W) as a map in [0, 1]; ``stored`` are the values before their conversion."""
    if not bool(values.isfinite().all()):
        raise ValueError("`saliency_map` holds NaN or infinite values. Leave this sample out, or mend its map.")
    lowest, highest = values.min(), values.max()
    if lowest < -_UNDERSHOOT * highest:
        raise ValueError(
            f"`saliency_map` must not be negative, got values in [{lowest:.4g}, {highest:.4g}]. Give the map before it "
            "is standardised. A log density is exponentiated first: (x - x.max()).exp()."
        )
    if highest == 0 and bool((stored.double() != 0).any()):
        raise ValueError("`saliency_map` holds only values too small for float32. Divide it by its maximum.")
    return values.clamp(min=0) / highest.clamp(min=1)


def _is_channel_first(array: Tensor, size: tuple[int, int]) -> bool:
    """Whether a map (1, H, W) from an array has its channel first, and is not (H, W, C) of an image one pixel high."""
    return array.shape[0] == 1 and not (size[0] == 1 and array.shape[1] == size[1] and array.shape[2] in (1, 3, 4))


def _to_tensor(values: Any, name: str) -> Tensor:
    """A dense, plain tensor of an array's or tensor's numbers.

    Raises:
        TypeError: If it is neither, or holds something else than real numbers; the argument is named.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"`{name}` must not be a masked array: give `{name}.filled(...)`.")
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "biuf":
            raise TypeError(f"`{name}` must hold real numbers, got an array of {values.dtype}.")
        dtype = values.dtype.newbyteorder("=") if values.dtype.itemsize <= 8 else np.dtype(np.float64)
        # torch shares memory, so what is read-only is copied: writing to it later would be undefined.
        return torch.from_numpy(np.require(values.astype(dtype, copy=False), requirements=["C", "W"]))
    if not isinstance(values, Tensor):
        raise TypeError(f"`{name}` must be a PIL image, an array or a tensor, got {type(values).__name__}.")
    if values.layout != torch.strided or values.is_meta:
        raise TypeError(f"`{name}` must be a dense tensor with values, got layout {values.layout} on {values.device}.")
    if values.dtype not in (*_FLOATS, *_INTEGERS, torch.bool):
        raise TypeError(f"`{name}` must hold real numbers, got {values.dtype}.")
    return values.as_subclass(Tensor).detach()


def _shape_advice(name: str, given: Any) -> str:
    if len(given.shape) == 4:
        return f" Remove the batch dimension: `{name}[0]`."
    if isinstance(given, Tensor) and len(given.shape) == 3 and given.shape[-1] in (1, 3, 4):
        return f" Its channels seem to be last: `{name}.permute(2, 0, 1)`."
    if isinstance(given, np.ndarray) and len(given.shape) == 3 and given.shape[0] in (1, 3, 4):
        return f" Its channels seem to be first: `{name}.transpose(1, 2, 0)`."
    return ""


@contextmanager
def _pil_errors(image: PIL.Image.Image, name: str) -> Iterator[None]:
    """Name the argument when Pillow cannot convert an image: it is read late, and may be damaged or closed."""
    if not (image.width and image.height):
        raise ValueError(f"`{name}` must not be empty, got a PIL image of {image.width}×{image.height}.")
    try:
        yield
    except Exception as error:
        if not belongs_to_image(error):
            raise
        raise ValueError(f"`{name}`, a PIL image of mode {image.mode}, cannot be read: {error}") from error


def _unit_peak(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A deep grey image as values in [0, 1]: negative ones 0, and divided by the maximum where that is above 1."""
    if not np.isfinite(values).all() or (values.max() <= 0 and values.min() < 0):
        raise ValueError(f"values must be finite and some positive, got {values.min():.3g} to {values.max():.3g}")
    return np.asarray(values.clip(min=0) / max(values.max(), 1.0))
