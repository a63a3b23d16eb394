"""Procedural captioned scenes: nameable objects on natural-looking surfaces.

Surfaces are 1/f noise under dead leaves (discs with power-law radii), the two statistics of natural
images that are cheap to draw. Objects are signed distance functions, shaded, textured, shadowed and
occluding one another. Everything is deterministic by (seed, index).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from augsal_transforms.data.observer import observe
from augsal_transforms.data.shapes import KINDS

Field = NDArray[Any]

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
PAINTS = {"wood": COLORS["brown"], "ink": COLORS["black"], "leaf": COLORS["green"], "paper": COLORS["white"]}
SURFACES: dict[str, tuple[float, float, float]] = {
    "grass": (0.33, 0.46, 0.20),
    "sand": (0.76, 0.67, 0.48),
    "water": (0.22, 0.40, 0.50),
    "snow": (0.86, 0.89, 0.92),
    "road": (0.42, 0.42, 0.43),
    "table": (0.55, 0.39, 0.25),
    "carpet": (0.52, 0.30, 0.32),
    "ground": (0.40, 0.34, 0.26),
}


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene: its names, where it can be seen, and whether the caption names it."""

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


def power_law_noise(rng: Generator, size: int, slope: float) -> Field:
    """A (size, size) field whose amplitude falls as 1/f^slope; zero mean, unit deviation."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * frequency**-slope, (size, size))
    return np.asarray(field / field.std(), np.float32)


def dead_leaves(rng: Generator, base: Field, size: int, count: int = 70) -> tuple[Field, Field]:
    """Overlapping discs with power-law radii: (size, size, 3) colours and (size, size) coverage."""
    radii = 0.015 * (1 - rng.random(count) * 0.995) ** -0.5  # density r^-3 on [0.015, 0.21]
    x, y = rng.random((2, count))
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    distance = (grid[None, None, :] - x[:, None, None]) ** 2 + (grid[None, :, None] - y[:, None, None]) ** 2
    covered = distance < radii[:, None, None] ** 2
    colors = base + 0.16 * rng.standard_normal((count, 1)) + 0.06 * rng.standard_normal((count, 3))
    top = covered.argmax(axis=0)
    return np.asarray(colors[top], np.float32), np.asarray(covered.any(axis=0), np.float32)


def _surface(rng: Generator, name: str, size: int) -> Field:
    base = np.array(SURFACES[name], np.float32) + rng.normal(0, 0.04, 3).astype(np.float32)
    light = power_law_noise(rng, size, rng.uniform(0.9, 1.5))[..., None]
    chroma = power_law_noise(rng, size, 1.2)[..., None] * rng.normal(0, 1, 3).astype(np.float32)
    canvas = base * (1 + rng.uniform(0.05, 0.22) * light) + 0.02 * chroma
    if rng.random() < 0.6:
        leaves, covered = dead_leaves(rng, base, size)
        canvas += rng.uniform(0.3, 0.9) * covered[..., None] * (leaves * (1 + 0.1 * light) - canvas)
    if rng.random() < 0.5:  # a backdrop above a horizon
        sky = np.array([0.55, 0.68, 0.85] if rng.random() < 0.6 else rng.uniform(0.35, 0.8, 3), np.float32)
        clouds = sky * (1 + rng.uniform(0.03, 0.15) * power_law_noise(rng, size, 1.5))[..., None]
        height = (np.arange(size, dtype=np.float32) / size)[:, None, None]
        above = np.clip((rng.uniform(0.2, 0.5) - height) * size / 3 + 0.5, 0, 1)
        canvas = above * clouds + (1 - above) * canvas
    return np.asarray(canvas, np.float32)


def _albedo(rng: Generator, u: Field, v: Field) -> Field:
    """A pattern on the object: plain, stripes, dots or grain; about one on average."""
    pattern, depth, period = rng.integers(4), rng.uniform(0.15, 0.45), rng.uniform(6, 16)
    if pattern == 0:
        return np.ones_like(u)
    if pattern == 1:
        angle = rng.uniform(0, math.pi)
        return np.asarray(1 + depth * np.sign(np.sin(period * (u * math.cos(angle) + v * math.sin(angle)))))
    if pattern == 2:
        return np.asarray(1 + depth * np.sign(np.sin(period * u) * np.sin(period * v) - 0.3))
    return np.asarray(1 + 0.5 * depth * rng.standard_normal(u.shape), np.float32)


def _paint(rng: Generator, canvas: Field, kind: str, color: str, x: float, y: float, radius: float) -> Field:
    """Draw one object and its shadow onto the canvas in place; return its (size, size) coverage."""
    size = canvas.shape[0]
    reach = int(radius * 1.6) + 2
    x0, x1 = max(0, int(x) - reach), min(size, int(x) + reach)
    y0, y1 = max(0, int(y) - reach), min(size, int(y) + reach)
    column = (np.arange(x0, x1, dtype=np.float32) + 0.5 - x) / radius
    row = (np.arange(y0, y1, dtype=np.float32) + 0.5 - y) / radius
    light_x, light_y = rng.uniform(-0.8, 0.8), rng.uniform(-0.9, -0.2)
    patch = canvas[y0:y1, x0:x1]
    shadow = ((column + 0.35 * light_x) / 1.0)[None] ** 2 + ((row - 0.9) / 0.28)[:, None] ** 2
    patch *= 1 - rng.uniform(0.3, 0.6) * np.exp(-1.5 * shadow)[..., None].astype(np.float32)

    tilt, flip = rng.normal(0, 0.18), rng.choice([-1.0, 1.0])
    u = np.asarray(flip * (column[None] * math.cos(tilt) + row[:, None] * math.sin(tilt)), np.float32)
    v = np.asarray(row[:, None] * math.cos(tilt) - column[None] * math.sin(tilt), np.float32)
    own = np.clip(np.array(COLORS[color]) * rng.uniform(0.85, 1.15) + rng.normal(0, 0.03, 3), 0.03, 0.97)
    paints = {"body": own, "dark": own * 0.55, "light": 0.55 * own + 0.42, "glass": np.array([0.6, 0.75, 0.85])}
    paints |= {name: np.array(rgb) for name, rgb in PAINTS.items()}
    shade = 0.95 + 0.30 * (column[None] * light_x + row[:, None] * light_y)
    albedo = _albedo(rng, u, v)
    coverage = np.zeros(patch.shape[:2], np.float32)
    for distance, paint in KINDS[kind](u, v):
        alpha = np.clip(0.5 - distance * radius, 0, 1)
        relief = shade * albedo if paint == "body" else shade
        patch += alpha[..., None] * (relief[..., None] * paints[paint] - patch)
        coverage = np.maximum(coverage, alpha)
    whole = np.zeros((size, size), np.float32)
    whole[y0:y1, x0:x1] = coverage
    return whole


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _caption(rng: Generator, surface: str, things: Sequence[tuple[str, str, float, float, float]]) -> str:
    """One sentence about the named things, each (kind, color, x, y, radius as a share of the image)."""
    phrases = []
    for kind, color, _, _, radius in things:
        size = ("small " if radius < 0.13 else "large " if radius > 0.2 else "") if rng.random() < 0.4 else ""
        phrases.append(_article(size + (color + " " if rng.random() < 0.8 else "") + kind))
    place = f"{rng.choice(['on', 'over', 'in front of'], p=[0.7, 0.1, 0.2])} the {surface}"
    if len(things) == 1:
        forms = [f"{phrases[0]} {place}", f"a photo of {phrases[0]}", f"there is {phrases[0]} {place}", f"{phrases[0]}"]
        return str(rng.choice(forms))
    (_, _, x0, y0, _), (_, _, x1, y1, _) = things[:2]
    across = abs(x0 - x1) > abs(y0 - y1)
    relation = ("to the left of" if x0 < x1 else "to the right of") if across else ("above" if y0 < y1 else "below")
    pair = f"{phrases[0]} {rng.choice([relation, 'next to', 'and'])} {phrases[1]}"
    if len(things) == 2:
        return str(rng.choice([pair, f"{pair} {place}", f"a photo of {pair}"]))
    return f"{', '.join(phrases[:-1])} and {phrases[-1]} {place}"


def render_scene(index: int, seed: int = 0, size: int = 128) -> Scene:
    """Render scene ``index`` of the endless series ``seed``.

    Args:
        index: Which scene; 0 or more.
        seed: Which series; scenes of different seeds share nothing.
        size: Height and width in pixels.

    Returns:
        The scene, the same for the same three numbers; to within a grey level on another machine.
    """
    rng = np.random.default_rng([seed, index])
    surface = str(rng.choice(list(SURFACES)))
    canvas = _surface(rng, surface, size)
    for _ in range(rng.integers(0, 6)):  # pebbles: clutter that no caption names
        x, y = rng.random(2) * size
        _paint(rng, canvas, "ball", "gray", x, y, rng.uniform(0.012, 0.035) * size)

    count = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.35, 0.25, 0.15]))
    kinds = [str(kind) for kind in rng.choice(list(KINDS), count, replace=False)]
    colors = [str(color) for color in rng.choice(list(COLORS), count)]
    radii = rng.uniform(0.09, 0.26, count) * (1 if count < 3 else 0.85)
    places = np.sort(rng.uniform(0.15, 0.85, (count, 2)), axis=0)[:, ::-1]  # nearer objects stand lower
    places[:, 0] = rng.permutation(np.linspace(0.2, 0.8, count) if count > 1 else [0.5]) + rng.normal(0, 0.08, count)
    masks: list[Field] = []
    for kind, color, (x, y), radius in zip(kinds, colors, places, radii, strict=True):
        near = _paint(rng, canvas, kind, color, x * size, y * size, radius * size)
        masks = [mask * (1 - near) for mask in masks] + [near]

    exposure = rng.uniform(0.8, 1.15) * (1 + rng.normal(0, 0.04, 3))
    canvas = canvas * exposure.astype(np.float32) + rng.normal(0, 0.008, canvas.shape).astype(np.float32)
    image = torch.from_numpy((canvas.clip(0, 1) * 255).round().astype(np.uint8)).permute(2, 0, 1).contiguous()

    order = rng.permutation(count)[: int(rng.integers(1, min(count, 3) + 1))]
    things = [(kinds[i], colors[i], places[i, 0], places[i, 1], radii[i]) for i in order]
    objects = [
        SceneObject(kinds[i], colors[i], torch.from_numpy(masks[i] > 0.5), _box(masks[i] > 0.5), i in order)
        for i in range(count)
        if (masks[i] > 0.5).any()
    ]
    return Scene(image, _caption(rng, surface, things), tuple(objects))


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


class SceneDataset(torch.utils.data.Dataset[dict[str, object]]):
    """Scenes ``start`` … ``start + count − 1`` of a seed with the synthetic observer's saliency maps.

    Each sample is a dict: ``image`` (3, H, W) uint8, ``saliency_map`` (1, H, W) float32 in [0, 1],
    ``prompt`` (the caption) and ``image_id``.
    """

    def __init__(self, count: int, *, seed: int = 0, start: int = 0, size: int = 128) -> None:
        self.count, self.seed, self.start, self.size = count, seed, start, size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, object]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        number = self.start + index
        scene = render_scene(number, self.seed, self.size)
        masks = torch.stack([thing.mask for thing in scene.objects]) if scene.objects else None
        saliency_map = observe(scene.image, masks, seed=number)
        return {
            "image": scene.image,
            "saliency_map": saliency_map,
            "prompt": scene.caption,
            "image_id": f"scene-{self.seed}-{number}",
        }
