"""The objects of scenes: nameable things as painted parts, far to near.

Coordinates u, v run over [−1, 1]; v grows downward. A part is a signed distance, negative inside, and a
paint: ``body`` is the object's own colour, ``light`` and ``dark`` are its shades, the others are materials.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[Any]  # (rows, columns), a number for each pixel
Part = tuple[Grid, str]


def disc(u: Grid, v: Grid, x: float = 0.0, y: float = 0.0, r: float = 1.0) -> Grid:
    """Signed distance of a disc of radius r about (x, y)."""
    return np.asarray(np.hypot(u - x, v - y) - r, np.float32)


def slab(u: Grid, v: Grid, x: float, y: float, w: float, h: float) -> Grid:
    """Signed distance of a rectangle about (x, y) of half width w and half height h."""
    return np.maximum(np.abs(u - x) - w, np.abs(v - y) - h)


def polygon(u: Grid, v: Grid, *points: tuple[float, float]) -> Grid:
    """Signed distance of a convex polygon, points clockwise on screen (v grows downward)."""
    edges = []
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        length = math.hypot(x1 - x0, y1 - y0)
        edges.append(((y1 - y0) * (u - x0) - (x1 - x0) * (v - y0)) / length)
    return np.asarray(np.max(edges, axis=0), np.float32)


def union(*distances: Grid) -> Grid:
    """Signed distance of shapes taken together."""
    return np.asarray(np.min(distances, axis=0), np.float32)


def ball(u: Grid, v: Grid) -> list[Part]:
    return [(disc(u, v, r=0.95), "body"), (np.maximum(np.abs(v + 0.1) - 0.12, disc(u, v, r=0.95)), "light")]


def box(u: Grid, v: Grid) -> list[Part]:
    return [
        (slab(u, v, -0.15, 0.25, 0.75, 0.7), "body"),
        (polygon(u, v, (-0.9, -0.45), (-0.55, -0.85), (0.95, -0.85), (0.6, -0.45)), "light"),
        (polygon(u, v, (0.6, -0.45), (0.95, -0.85), (0.95, 0.55), (0.6, 0.95)), "dark"),
    ]


def cone(u: Grid, v: Grid) -> list[Part]:
    outline = polygon(u, v, (0.0, -1.0), (0.62, 0.75), (-0.62, 0.75))
    return [
        (slab(u, v, 0.0, 0.83, 0.9, 0.12), "dark"),
        (outline, "body"),
        (np.maximum(outline, np.abs(v - 0.1) - 0.17), "paper"),
    ]


def star(u: Grid, v: Grid) -> list[Part]:
    wedge = 2 * math.pi / 5
    angle = np.abs(np.mod(np.arctan2(u, -v) + wedge / 2, wedge) - wedge / 2)
    radius = np.hypot(u, v)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    inner_x, inner_y = 0.45 * math.cos(wedge / 2), 0.45 * math.sin(wedge / 2)
    length = math.hypot(1 - inner_x, inner_y)
    return [(np.asarray((inner_y * (x - 1) + (1 - inner_x) * y) / length, np.float32), "body")]


def ring(u: Grid, v: Grid) -> list[Part]:
    return [(np.abs(disc(u, v, r=0.68)) - 0.26, "body")]


def tree(u: Grid, v: Grid) -> list[Part]:
    crown = union(disc(u, v, 0, -0.45, 0.52), disc(u, v, -0.42, 0.0, 0.45), disc(u, v, 0.42, 0.0, 0.45))
    return [(slab(u, v, 0, 0.65, 0.13, 0.35), "wood"), (crown, "body")]


def house(u: Grid, v: Grid) -> list[Part]:
    return [
        (slab(u, v, 0, 0.4, 0.72, 0.55), "light"),
        (polygon(u, v, (0.0, -0.95), (0.98, -0.1), (-0.98, -0.1)), "body"),
        (slab(u, v, -0.3, 0.6, 0.17, 0.35), "dark"),
        (slab(u, v, 0.32, 0.3, 0.17, 0.17), "ink"),
    ]


def mug(u: Grid, v: Grid) -> list[Part]:
    handle = np.maximum(np.abs(disc(u, v, 0.55, 0.15, 0.32)) - 0.1, -slab(u, v, -0.1, 0.1, 0.55, 0.8))
    return [
        (handle, "dark"),
        (slab(u, v, -0.15, 0.15, 0.6, 0.75), "body"),
        (disc(u, (v + 0.6) * 2.6, -0.15, 0.0, 0.58), "light"),
    ]


def flower(u: Grid, v: Grid) -> list[Part]:
    radius, angle = np.hypot(u, v + 0.3), np.arctan2(u, -v - 0.3)
    petals = np.asarray(radius - 0.46 - 0.2 * np.cos(6 * angle), np.float32)
    return [
        (slab(u, v, 0, 0.65, 0.06, 0.35), "leaf"),
        (disc(u * 0.7, v * 1.4, 0.16, 0.98, 0.16), "leaf"),
        (petals, "body"),
        (disc(u, v, 0, -0.3, 0.2), "dark"),
    ]


def fish(u: Grid, v: Grid) -> list[Part]:
    return [
        (polygon(u, v, (0.35, 0.0), (0.98, -0.5), (0.85, 0.0), (0.98, 0.5)), "dark"),
        (disc(u, v * 1.7, -0.2, 0.0, 0.75), "body"),
        (disc(u, v, -0.62, -0.1, 0.13), "paper"),
        (disc(u, v, -0.64, -0.1, 0.07), "ink"),
    ]


def car(u: Grid, v: Grid) -> list[Part]:
    return [
        (polygon(u, v, (-0.5, -0.1), (-0.3, -0.55), (0.35, -0.55), (0.65, -0.1)), "body"),
        (polygon(u, v, (-0.36, -0.1), (-0.22, -0.44), (0.28, -0.44), (0.48, -0.1)), "glass"),
        (slab(u, v, 0, 0.15, 0.98, 0.27), "body"),
        (union(disc(u, v, -0.55, 0.42, 0.25), disc(u, v, 0.55, 0.42, 0.25)), "ink"),
        (union(disc(u, v, -0.55, 0.42, 0.1), disc(u, v, 0.55, 0.42, 0.1)), "paper"),
    ]


def apple(u: Grid, v: Grid) -> list[Part]:
    return [
        (slab(u, v, 0.03, -0.75, 0.05, 0.25), "wood"),
        (union(disc(u, v, -0.28, 0.15, 0.66), disc(u, v, 0.28, 0.15, 0.66)), "body"),
        (disc(u, v * 2.0, 0.28, -1.5, 0.26), "leaf"),
    ]


def boat(u: Grid, v: Grid) -> list[Part]:
    return [
        (slab(u, v, -0.02, -0.2, 0.05, 0.75), "wood"),
        (polygon(u, v, (0.08, -0.9), (0.8, 0.3), (0.08, 0.3)), "paper"),
        (polygon(u, v, (-0.12, -0.7), (-0.12, 0.3), (-0.65, 0.3)), "light"),
        (polygon(u, v, (-0.98, 0.4), (0.98, 0.4), (0.6, 0.9), (-0.6, 0.9)), "body"),
    ]


def kite(u: Grid, v: Grid) -> list[Part]:
    outline = polygon(u, v, (0.0, -1.0), (0.65, -0.3), (0.0, 0.6), (-0.65, -0.3))
    tail = np.maximum(np.abs(u - 0.12 * np.sin(12 * v)) - 0.05, np.abs(v - 0.8) - 0.2)
    return [
        (np.asarray(tail, np.float32), "ink"),
        (outline, "body"),
        (np.maximum(outline, union(np.abs(u) - 0.05, np.abs(v + 0.3) - 0.05)), "light"),
    ]


def mushroom(u: Grid, v: Grid) -> list[Part]:
    cap = np.maximum(disc(u, v * 1.15, 0, 0.0, 0.95), v - 0.12)
    dots = union(disc(u, v, -0.4, -0.25, 0.13), disc(u, v, 0.1, -0.5, 0.15), disc(u, v, 0.5, -0.15, 0.12))
    return [(slab(u, v, 0, 0.5, 0.26, 0.45), "paper"), (cap, "body"), (np.maximum(cap, dots), "paper")]


def bottle(u: Grid, v: Grid) -> list[Part]:
    return [
        (slab(u, v, 0, -0.6, 0.15, 0.32), "body"),
        (slab(u, v, 0, -0.9, 0.19, 0.1), "ink"),
        (union(slab(u, v, 0, 0.4, 0.4, 0.58), disc(u, v, 0, -0.15, 0.4)), "body"),
        (slab(u, v, 0, 0.4, 0.4, 0.24), "paper"),
    ]


KINDS: dict[str, Callable[[Grid, Grid], list[Part]]] = {
    kind.__name__: kind
    for kind in (
        *(apple, ball, boat, bottle, box, car, cone, fish),
        *(flower, house, kite, mug, mushroom, ring, star, tree),
    )
}
CATEGORIES = {kind: number for number, kind in enumerate(KINDS, start=1)}  # as in COCO, 0 is for the background
