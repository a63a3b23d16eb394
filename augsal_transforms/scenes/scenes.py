"""Procedural captioned scenes: nameable objects on natural-looking surfaces.

Objects are signed distance functions. They are shaded and textured, cast shadows, occlude one another, and are lit as
their surface is. A scene is determined by its series and its index.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from augsal_transforms.scenes.observer import observe
from augsal_transforms.scenes.sentences import Thing, describe
from augsal_transforms.scenes.shapes import KINDS
from augsal_transforms.scenes.surfaces import (
    SURFACES,
    Grid,
    draw_surface,
    illumination,
    power_law_noise,
    soften,
    window,
)

COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.13, 0.12),
    "orange": (0.92, 0.50, 0.10),
    "yellow": (0.92, 0.82, 0.16),
    "green": (0.16, 0.58, 0.20),
    "blue": (0.14, 0.30, 0.80),
    "purple": (0.52, 0.20, 0.65),
    "pink": (0.93, 0.52, 0.68),
    "brown": (0.45, 0.28, 0.15),
    "white": (0.92, 0.92, 0.90),
    "black": (0.10, 0.10, 0.11),
    "gray": (0.50, 0.50, 0.52),
}
MIN_SIZE = 8  # pixels; in fewer no object is seen
PAINTS = {"wood": COLORS["brown"], "ink": COLORS["black"], "leaf": COLORS["green"], "paper": COLORS["white"]}


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene: its names, its visible pixels, and whether the caption names it."""

    kind: str
    color: str
    mask: Tensor  # (H, W) bool, the visible pixels
    box: tuple[int, int, int, int]  # x, y, width, height of the visible pixels
    named: bool


@dataclass(frozen=True)
class Scene:
    """A rendered scene: image (3, H, W) uint8, its caption and its objects, far to near."""

    image: Tensor
    caption: str
    objects: tuple[SceneObject, ...]


def series_of(seed: int, split: str) -> int:
    """The series of a split, for ``render_scene``: the seed itself for ``"train"``, and one of its own for any other.

    Series of other splits lie above 2^63, where no seed does, so that no split shares a scene with another one.
    """
    if split == "train":
        return seed
    return 2**63 + int.from_bytes(hashlib.sha256(f"{split}\x1f{seed}".encode()).digest()[:7], "big")


def viewers_of(index: int, seed: int, split: str) -> int:
    """The seed of the simulated viewers of a split's scene ``index``; no two splits share viewers either."""
    return index if split == "train" else series_of(seed, split) + index


def check_scenes(*, count: int, seed: int, start: int, size: int) -> None:
    """Refuse numbers of which no scenes can be rendered.

    Raises:
        TypeError: If one is not an int.
        ValueError: If one is too small, or a seed is 2^63 or more.
    """
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("start", start, 0), ("size", size, MIN_SIZE)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"`{name}` must be an int, got {value!r}.")
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}, got {value}.")
    if seed >= 2**63:
        raise ValueError(f"`seed` must be below 2^63, above which the series of other splits lie, got {seed}.")


def render_scene(index: int, seed: int = 0, size: int = 128) -> Scene:
    """Render scene ``index`` of the endless series ``seed``.

    Args:
        index: Number of the scene in its series, 0 or more.
        seed: Number of the series; scenes of different series share nothing.
        size: Height and width in pixels.

    Returns:
        The scene, the same for the same three numbers; to within a grey level on another machine.
    """
    rng = np.random.default_rng([seed, index])
    surface = str(rng.choice(list(SURFACES)))
    canvas = draw_surface(rng, surface, size)
    grain = power_law_noise(rng, size, 1.0)
    for _ in range(rng.integers(0, 6)):  # pebbles: clutter that no caption names
        tone = np.array(SURFACES[surface]) * rng.uniform(0.5, 1.5)
        x, y = rng.random(2) * size
        _paint(rng, canvas, grain, "ball", tone, x, y, rng.uniform(0.012, 0.04) * size)

    things = _arrange(rng)
    masks: list[Grid] = []
    for thing in things:
        own = np.array(COLORS[thing.color]) * rng.uniform(0.85, 1.15) + rng.normal(0, 0.03, 3)
        place = (thing.x * size, thing.y * size, thing.radius * size)
        near = _paint(rng, canvas, grain, thing.kind, own.clip(0.03, 0.97), *place)
        masks = [mask * (1 - near) for mask in masks] + [near]
    image = _expose(rng, canvas)

    order = rng.permutation(len(things))[: int(rng.integers(1, min(len(things), 3) + 1))]
    objects = [
        SceneObject(thing.kind, thing.color, torch.from_numpy(mask > 0.5), _box(mask > 0.5), n in order)
        for n, (thing, mask) in enumerate(zip(things, masks, strict=True))
        if (mask > 0.5).any()
    ]
    return Scene(image, describe(rng, surface, [things[n] for n in order]), tuple(objects))


def _arrange(rng: Generator) -> list[Thing]:
    """Draw one to four things of different kinds; nearer ones stand lower."""
    count = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.35, 0.25, 0.15]))
    kinds = [str(kind) for kind in rng.choice(list(KINDS), count, replace=False)]
    colors = [str(color) for color in rng.choice(list(COLORS), count)]
    radii = rng.uniform(0.10, 0.27, count) * (1 if count < 3 else 0.85)
    rows = np.sort(rng.uniform(0.15, 0.85, count))
    columns = rng.permutation(np.linspace(0.2, 0.8, count) if count > 1 else [0.5]) + rng.normal(0, 0.08, count)
    return [Thing(*numbers) for numbers in zip(kinds, colors, columns, rows, radii, strict=True)]


def _paint(rng: Generator, canvas: Grid, grain: Grid, kind: str, own: Grid, x: float, y: float, radius: float) -> Grid:
    """Draw one object and its shadow onto the canvas, in place.

    Returns:
        The object's coverage, (size, size), in [0, 1].
    """
    rows, columns, row, column = window(len(canvas), x, y, radius, 1.6)
    light_x, light_y = rng.uniform(-0.8, 0.8), rng.uniform(-0.9, -0.2)
    patch = canvas[rows, columns]
    shadow = (column + 0.35 * light_x)[None] ** 2 + ((row - 0.9) / 0.28)[:, None] ** 2
    patch *= 1 - rng.uniform(0.3, 0.6) * np.exp(-1.5 * shadow)[..., None].astype(np.float32)

    tilt, flip = rng.normal(0, 0.18), rng.choice([-1.0, 1.0])
    u = np.asarray(flip * (column[None] * math.cos(tilt) + row[:, None] * math.sin(tilt)), np.float32)
    v = np.asarray(row[:, None] * math.cos(tilt) - column[None] * math.sin(tilt), np.float32)
    paints = {"body": own, "dark": own * 0.55, "light": 0.55 * own + 0.42, "glass": np.array([0.6, 0.75, 0.85])}
    paints |= {name: np.array(rgb) for name, rgb in PAINTS.items()}
    shade = 0.95 + 0.30 * (column[None] * light_x + row[:, None] * light_y)
    gloss = (column - 0.5 * light_x)[None] ** 2 + (row - 0.5 * light_y)[:, None] ** 2
    gloss = rng.uniform(0, 0.35) * np.exp(-gloss / rng.uniform(0.02, 0.15))
    albedo = _albedo(rng, u, v, grain[rows, columns])
    coverage = np.zeros(patch.shape[:2], np.float32)
    for distance, paint in KINDS[kind](u, v):
        alpha = np.clip(0.5 - distance * radius, 0, 1)
        rounded = shade * (1 - 0.3 * np.exp(np.minimum(distance, 0) / 0.12))  # surfaces turn away at their edges
        relief = rounded * albedo if paint == "body" else rounded
        patch += alpha[..., None] * (relief[..., None] * paints[paint] + gloss[..., None] - patch)
        coverage = np.maximum(coverage, alpha)
    whole = np.zeros(canvas.shape[:2], np.float32)
    whole[rows, columns] = coverage
    return whole


def _albedo(rng: Generator, u: Grid, v: Grid, grain: Grid) -> Grid:
    """Draw a pattern for an object: plain, stripes, dots or grain; its mean is about 1."""
    pattern, depth, period = rng.integers(5), rng.uniform(0.1, 0.4), rng.uniform(5, 14)
    if pattern == 0:
        return np.ones_like(u)
    if pattern == 1:
        angle = rng.uniform(0, math.pi)
        stripes = np.sin(period * (u * math.cos(angle) + v * math.sin(angle)))
        return np.asarray(1 + depth * np.clip(3 * stripes, -1, 1))
    if pattern == 2:
        return np.asarray(1 + depth * np.clip(4 * (np.sin(period * u) * np.sin(period * v) - 0.3), -1, 1))
    return np.asarray(1 + 0.6 * depth * grain, np.float32)


def _expose(rng: Generator, canvas: Grid) -> Tensor:
    """Light the scene and photograph it: (3, size, size) uint8."""
    lit = canvas * illumination(rng, len(canvas)) * rng.uniform(0.75, 1.15) * (1 + rng.normal(0, 0.04, 3))
    toned = 0.42 + rng.uniform(0.95, 1.35) * (lit - 0.42)
    sensed = soften(toned, int(rng.random() < 0.15)) + rng.normal(0, rng.uniform(0.002, 0.01), canvas.shape)
    pixels = (sensed.clip(0, 1) * 255).round().astype(np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


class SceneDataset(torch.utils.data.Dataset[dict[str, object]]):
    """Scenes ``start`` to ``start + count − 1`` of a series with the synthetic observer's saliency maps.

    Each sample is a dict: ``image`` (3, H, W) uint8, ``saliency_map`` (1, H, W) float32 in [0, 1],
    ``prompt`` (the caption) and ``image_id``.

    Args:
        count: Number of scenes, at least 1.
        split: ``"train"``, ``"val"`` or another name; splits of one seed share no scene, as in ``write_scenes``.
        seed: The seed of the series (``series_of``).
        start: The first scene's index.
        size: Height and width in pixels, at least 8.
    """

    def __init__(self, count: int, *, split: str = "train", seed: int = 0, start: int = 0, size: int = 128) -> None:
        check_scenes(count=count, seed=seed, start=start, size=size)
        self.count, self.split, self.seed, self.start, self.size = count, split, seed, start, size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, object]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        number = self.start + index
        scene = render_scene(number, series_of(self.seed, self.split), self.size)
        series = self.seed if self.split == "train" else f"{self.seed}-{self.split}"
        return {
            "image": scene.image,
            "saliency_map": observe(scene.image, scene.objects, seed=viewers_of(number, self.seed, self.split)),
            "prompt": scene.caption,
            "image_id": f"scene-{series}-{number}",
        }
