"""The edits of the training photographs, as pictures on disk: the editor's, and the same ones in plain pixels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from augsal_transforms import Brightness, Color, Contrast, SaliencyEditor
from augsal_transforms.diffusion.letterbox import keep_mean, resize
from augsal_transforms.editor.edits import COLORS
from augsal_transforms.editor.latent_edits import toward_color
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.editor.saliency_gate import gaze_rise, gaze_share
from augsal_transforms.files import write_file
from augsal_transforms.photometry import weighted_mean
from augsal_transforms.store.keys import to_bytes
from table2.photographs import SIZE, Photographs

PER_KIND = 1  # edits of each kind for each photograph
CHUNK = 20  # photographs in a file


@dataclass(frozen=True)
class PhotographEdits:
    """All edits of some photographs, K of them, those that changed nothing left out.

    Attributes:
        photographs: Row of the photograph of each edit, (K,).
        kinds: Kind of each edit.
        images: Edited images, (K, 3, H, W) uint8 at ``SIZE``.
        plain_images: The same edits by arithmetic on pixels.
        edit_masks: (K, 1, H, W) uint8.
    """

    photographs: Tensor
    kinds: list[str]
    images: Tensor
    plain_images: Tensor
    edit_masks: Tensor

    @classmethod
    def read(cls, folder: Path) -> PhotographEdits:
        """Read the files that ``write_edits`` wrote."""
        parts, kinds = [], list[str]()
        for path in sorted(folder.glob("*.safetensors")):
            parts.append(load_file(path))
            with safe_open(path, "pt") as file:
                kinds += json.loads(file.metadata()["kinds"])
        names = ("photographs", "images", "plain_images", "edit_masks")
        photographs, *pictures = (torch.cat([part[name] for part in parts]) for name in names)
        return cls(photographs, kinds, *pictures)


def write_edits(
    folder: Path,
    photographs: Photographs,
    open_editor: Callable[[], SaliencyEditor],
    finished: Callable[[int], object] = lambda count: None,
) -> None:
    """Edit photographs at the size of the network's input, ``CHUNK`` of them to a file; files that exist stay.

    Args:
        folder: Folder of the files.
        photographs: Photographs to edit, without captions: the region comes from the saliency map alone.
        open_editor: Function that opens the editor; it is called if files are missing.
        finished: Callback, called with the number of photographs of every file.
    """
    editor = None
    edits = [Contrast(), Brightness(), Color()] * PER_KIND
    for start in range(0, len(photographs.names), CHUNK):
        path = folder / f"{start:05d}.safetensors"
        images = photographs.images[start : start + CHUNK]
        if not path.exists():
            editor = editor or open_editor()
            maps = [resize(one, SIZE) for one in photographs.scored_maps[start : start + CHUNK]]
            results = editor.edit(images, maps, None, [edits] * len(images))
            rows = [n for n, result in enumerate(results) if result.is_edited]
            originals = [images[n // len(edits)] for n in rows]
            folder.mkdir(parents=True, exist_ok=True)
            write_file(path, _encode([results[n] for n in rows], originals, [start + n // len(edits) for n in rows]))
        finished(len(images))


def _encode(results: Sequence[EditedImage], originals: Sequence[Tensor], rows: Sequence[int]) -> bytes:
    plain = [edit_pixels(original, result) for original, result in zip(originals, results, strict=True)]
    tensors = {
        "photographs": torch.tensor(rows),
        "images": torch.stack([result.image for result in results]),
        "plain_images": torch.stack(plain),
        "edit_masks": torch.stack([to_bytes(result.edit_mask) for result in results]),
    }
    return save(tensors, {"kinds": json.dumps([result.kind for result in results])})


def edit_pixels(image: Tensor, result: EditedImage) -> Tensor:
    """Make an edit again by arithmetic on RGB, without a model: same mask, kind and colour, and α times strength.

    Args:
        image: The original, (3, H, W), uint8.
        result: The edit, of the kind contrast, brightness or color.

    Returns:
        (3, H, W), uint8.
    """
    pixels, mask = image[None].float() / 255, result.edit_mask[None]
    mean = weighted_mean(pixels, mask)
    if result.kind == "contrast":
        change = keep_mean(pixels, (result.alpha - 1) * (pixels - mean[..., None, None]), mask)
    elif result.kind == "brightness":
        change = torch.full_like(pixels, result.alpha)
    else:
        target = torch.tensor(COLORS[result.color])
        change = (toward_color(mean, target, result.alpha) - mean)[..., None, None]
    return to_bytes((pixels + result.strength * mask * change).clamp(0, 1))[0]


def rises(before: Tensor, after: Tensor, edit_masks: Tensor) -> Tensor:
    """The rise of each region's share of gaze after its edit, (K,), as ``SaliencyGate`` measures it.

    Args:
        before: S′ of the original of each edit, (K, 1, H, W).
        after: S′_E, shaped like ``before``.
        edit_masks: M, shaped like ``before``, in [0, 1].
    """
    return gaze_rise(gaze_share(before, edit_masks), gaze_share(after, edit_masks))[:, 0]
