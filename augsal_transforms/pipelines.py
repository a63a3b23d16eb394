"""A user's pipelines: pictures in the kind that they take, and the checks that all four pictures see one draw."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torchvision.transforms.v2 import functional

from augsal_transforms.randomness import seeded

Transform = Callable[[Any], Any]

STATES = 16  # random states tried: a flip with p = 0.5 in one pipeline alone is missed once in 65,536 times
GRID = 32  # cells a side on which two pictures are compared
BLURS = 9  # 0 to 8 passes of a 3 × 3 mean: one pipeline may blur by up to 7 % of a side, or resize to 14 × 14
# Similarity below which two pipelines move a picture differently. Cutting 3 % off each side leaves 0.91, resampling to
# 30 × 40 by the nearest neighbour 0.95, other pipelines that agree 0.97 and more.
SIMILARITY = 0.93
_FIELDS = "##.#...# #......# #..##... #####.## #...#.#. .#.#.### #.#...#. #####..."
_COLORS = (230, 120, 40), (30, 100, 180)  # far from black, white and grey, so that every photometric transform shows

_NOT_REPLAYED = (
    "`{}` gives two different results from one state of torch's, NumPy's and Python's global generators: it draws "
    "from a generator of its own, as albumentations 2, `numpy.random.default_rng` and `torch.Generator` do, so that "
    "the original and the edited picture would be changed differently. Draw once for all four pictures of an augmented "
    "sample instead. In albumentations: `A.Compose([...], additional_targets={{'edited_image': 'image', "
    "'saliency_map': 'mask', 'edit_mask': 'mask'}})`."
)
_OTHER_GEOMETRY = (
    "`image_transform` and `saliency_transform` move a picture differently (similarity {:.2f} of 1 on a test pattern), "
    "so that image and map would not show the same place. Both start from the same state of the global generators: "
    "begin both with the same random crops and flips, in the same order, and give both the same fixed crops. Or use "
    "one joint pipeline for the whole sample, which moves all four pictures alike: v2.Compose([augment, "
    "v2.RandomHorizontalFlip(), ...])."
)
_UNCHECKED = "`{}` fails on a test pattern, so it is not checked that all pictures of a sample see one draw: {}: {}"


def image_like(image: Tensor, like: Any) -> Any:
    """An RGB image (3, H, W) in the kind of a given one: PIL, array (H, W, 3) or tensor."""
    plain = image.as_subclass(Tensor)
    if isinstance(like, PIL.Image.Image):
        return functional.to_pil_image(plain)
    return plain if isinstance(like, Tensor) else np.ascontiguousarray(plain.movedim(0, -1).numpy())


def mask_like(edit_mask: Tensor, like: Any) -> Any:
    """An edit mask (1, H, W) in [0, 1] in the kind, shape and scale of a given saliency map.

    Args:
        edit_mask: The mask.
        like: The map: PIL, array or tensor. 1 becomes the highest value of its scale: 255 for 8 bits, 65,535 for 16, 1
            for floats up to 1, and for other numbers 255 or 65,535 where they come near, or else their maximum.
    """
    array = np.asarray(like) if isinstance(like, PIL.Image.Image) else like
    is_first = isinstance(like, Tensor) or array.ndim == 2 or array.shape[0] == 1
    size = array.shape[-2:] if is_first else array.shape[:2]
    values = edit_mask.as_subclass(Tensor)
    if values.shape[-2:] != torch.Size(size):
        values = functional.resize_image(values, list(size), antialias=True).clamp(0, 1)
    if isinstance(like, PIL.Image.Image) and not like.mode.startswith(("I", "F")):
        grey = functional.to_pil_image((values * 255).round().to(torch.uint8))
        return grey.convert(like.mode) if like.mode in ("LA", "RGB", "RGBA") else grey
    values = values * _scale_of(array)
    if isinstance(like, Tensor):
        values = values if like.dtype.is_floating_point else values.round()
        values = values.to(like.dtype).expand(len(like), -1, -1) if like.ndim == 3 else values[0].to(like.dtype)
        return values.clone()
    plain = values.numpy() if array.dtype.kind == "f" else values.round().numpy()
    plain = (
        plain[0] if array.ndim == 2 else plain if is_first else np.repeat(np.moveaxis(plain, 0, -1), array.shape[2], 2)
    )
    plain = plain.astype(array.dtype)
    return PIL.Image.fromarray(plain) if isinstance(like, PIL.Image.Image) else plain


def check_pipelines(
    image_transform: Transform | None, saliency_transform: Transform | None, image: Any, saliency_map: Any
) -> None:
    """Check on a test pattern that both pipelines can be replayed, and move a picture alike.

    The pattern is a board of random fields and its inverse: what differs between the two results has the board's
    geometry, whatever a pipeline does to brightness and colour. No global generator is left changed.

    Args:
        image_transform: Pipeline of the images; ``None`` leaves them.
        saliency_transform: Pipeline of the maps; ``None`` leaves them.
        image: An image as the data set gives it.
        saliency_map: Its map, as the data set gives it.

    Raises:
        ValueError: If a pipeline draws from a generator of its own, or the two move a picture differently.
    """
    boards = [(_image_board(image, inverted), _map_board(saliency_map, inverted)) for inverted in (False, True)]
    names = {"image_transform": image_transform, "saliency_transform": saliency_transform}
    for seed in range(STATES):
        changes = []
        for place, (name, transform) in enumerate(names.items()):
            try:
                results = [_run(transform, boards[n][place], seed) for n in (0, 0, 1)]
            except Exception as error:
                warnings.warn(_UNCHECKED.format(name, type(error).__name__, error), stacklevel=2)
                return
            if not _are_equal(results[0], results[1]):
                raise ValueError(_NOT_REPLAYED.format(name))
            changes.append(_change(results[0], results[2]))
        if (similarity := _similarity(*changes)) < SIMILARITY:
            raise ValueError(_OTHER_GEOMETRY.format(similarity))


def _run(transform: Transform | None, picture: Any, seed: int) -> Any:
    if transform is None:
        return picture
    copied = picture.clone() if isinstance(picture, Tensor) else picture.copy()  # a pipeline may work in place
    with seeded(seed):
        return transform(copied)


def _board(size: tuple[int, int], inverted: bool) -> Tensor:
    """A board (1, H, W) of 8 × 8 fields, half of them 1 and half 0, like no flip or rotation of itself."""
    fields = torch.tensor([[field == "#" for field in row] for row in _FIELDS.split()])
    return F.interpolate((fields ^ inverted)[None, None].float(), size, mode="nearest-exact")[0]


def _image_board(like: Any, inverted: bool) -> Any:
    size = (like.height, like.width) if isinstance(like, PIL.Image.Image) else _size_of_image(like)
    colors = torch.tensor(_COLORS, dtype=torch.float32)[:, :, None, None]
    board = torch.lerp(colors[0], colors[1], _board(size, inverted)).round()
    is_float = not isinstance(like, PIL.Image.Image) and "float" in str(like.dtype)
    if is_float:
        wanted = like.dtype if isinstance(like, Tensor) else getattr(torch, like.dtype.name, torch.float64)
        return image_like((board / 255).to(wanted), like)
    return image_like(board.to(torch.uint8), like)


def _map_board(like: Any, inverted: bool) -> Any:
    array = np.asarray(like) if isinstance(like, PIL.Image.Image) else like
    is_first = isinstance(like, Tensor) or array.ndim == 2 or array.shape[0] == 1
    size = array.shape[-2:] if is_first else array.shape[:2]
    return mask_like(_board((size[0], size[1]), inverted), like)


def _size_of_image(image: Any) -> tuple[int, int]:
    shape = image.shape if image.ndim == 2 else image.shape[1:] if isinstance(image, Tensor) else image.shape[:2]
    return shape[0], shape[1]


def _scale_of(values: Any) -> float:
    """The value in a map's own scale that means 1."""
    name = str(values.dtype).rpartition(".")[2]
    if name in ("uint8", "uint16", "bool"):
        return {"uint8": 255.0, "uint16": 65535.0, "bool": 1.0}[name]
    highest = float(values.max())
    kind = getattr(torch, name, torch.float64)
    most = (torch.finfo(kind) if kind.is_floating_point else torch.iinfo(kind)).max  # 32,767 for int16
    for scale in (1.0, 255.0, 65535.0):
        if scale / 16 < highest <= scale:
            return min(scale, float(most))
    return max(highest, 1.0)


def _are_equal(first: Any, second: Any) -> bool:
    """Whether two results hold the same numbers, texts and pictures; other things are not compared."""
    ours, theirs = tree_leaves(first), tree_leaves(second)
    if len(ours) != len(theirs):
        return False
    for one, other in zip(ours, theirs, strict=True):
        if _is_comparable(one) and _is_comparable(other):
            ours_here, theirs_here = (
                np.asarray(x.detach().cpu().double() if isinstance(x, Tensor) else x) for x in (one, other)
            )
            if ours_here.shape != theirs_here.shape or not np.array_equal(ours_here, theirs_here, equal_nan=True):
                return False
    return True


def _is_comparable(value: Any) -> bool:
    return isinstance(value, (np.ndarray, PIL.Image.Image, int, float)) or (
        isinstance(value, Tensor) and not value.is_complex()
    )


def _change(result: Any, inverted: Any) -> Tensor | None:
    """A board's result minus its inverse's, (cells, cells); ``None`` where a result is no picture."""
    grids = [_to_grid(next(filter(_is_picture, tree_leaves(found)), None)) for found in (result, inverted)]
    if grids[0] is None or grids[1] is None or grids[0].shape != grids[1].shape:
        return None
    difference = grids[0] - grids[1]
    return difference[difference.abs().sum((-2, -1)).argmax()]  # the channel that shows most


def _is_picture(value: Any) -> bool:
    return isinstance(value, PIL.Image.Image) or (isinstance(value, (Tensor, np.ndarray)) and value.ndim in (2, 3, 4))


def _to_grid(picture: Any) -> Tensor | None:
    """A picture of any kind as (C, cells, cells), means over the cells."""
    if picture is None:
        return None
    array = (
        picture.detach().cpu().float() if isinstance(picture, Tensor) else torch.from_numpy(np.array(picture, float))
    )
    array = array.double().reshape(-1, *array.shape[-2:]) if array.ndim == 2 else array.double()
    array = array[0] if array.ndim == 4 else array
    if array.shape[-1] <= 4 < array.shape[0]:
        array = array.movedim(-1, 0)
    mode = "area" if min(array.shape[-2:]) >= GRID else "bilinear"  # one that has fewer pixels than cells is enlarged
    return F.interpolate(array[None].nan_to_num(), (GRID, GRID), mode=mode)[0]


def _similarity(first: Tensor | None, second: Tensor | None) -> float:
    """|cosine| of two changes where both show anything, in [0, 1]; 1 where that cannot be said."""
    if first is None or second is None:
        return 1.0
    shown = torch.ones_like(first, dtype=torch.bool)
    for change in (first, second):
        # A rectangle that a pipeline erases, and its padding, show nothing.
        near = F.max_pool2d(change.abs()[None, None], 3, 1, 1)
        hidden = (near <= 0.02 * change.abs().max()).double()
        shown &= F.max_pool2d(hidden, 5, 1, 2)[0, 0] == 0  # without the cells at its edge, which show a part
    if shown.float().mean() < 0.1:
        return 1.0
    return max(_cosine(first, second, shown), _cosine(second, first, shown))


def _cosine(sharper: Tensor, other: Tensor, shown: Tensor) -> float:
    """The highest |cosine| of one change, blurred more and more, and another."""
    best = 0.0
    for _ in range(BLURS):
        best = max(best, F.cosine_similarity(sharper[shown], other[shown], dim=0).abs().item())
        sharper = F.avg_pool2d(sharper[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    return best
