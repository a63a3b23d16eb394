"""Natural-looking surfaces: 1/f noise under dead leaves, lit unevenly and out of focus.

Two statistics of natural images are cheap to draw: dead leaves, which are occluding shapes whose radii follow a
power law, and 1/f spectra (Lee, Mumford & Huang, 2001).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Grid = NDArray[Any]  # (rows, columns) or (rows, columns, 3), numbers for each pixel

SURFACES: dict[str, tuple[float, float, float]] = {
    "grass": (0.29, 0.41, 0.17),
    "sand": (0.66, 0.57, 0.41),
    "water": (0.20, 0.36, 0.46),
    "snow": (0.70, 0.73, 0.77),
    "road": (0.38, 0.38, 0.39),
    "table": (0.50, 0.35, 0.22),
    "carpet": (0.46, 0.27, 0.28),
    "ground": (0.36, 0.30, 0.23),
}


def power_law_noise(rng: Generator, size: int, slope: float) -> Grid:
    """Noise (size, size) whose amplitude falls as 1/f^slope, with zero mean and a standard deviation of 1."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * frequency**-slope, (size, size))
    return np.asarray(noise / noise.std(), np.float32)


def dead_leaves(rng: Generator, base: Grid, size: int, count: int) -> tuple[Grid, Grid]:
    """Shaded discs, boxes and diamonds that occlude one another, radii with density r⁻³.

    Args:
        rng: Generator of all draws.
        base: Mean colour, (3,), RGB.
        size: Height and width in pixels.
        count: Number of leaves.

    Returns:
        Colours (size, size, 3), and coverage (size, size), which is 1 on leaves.
    """
    radii = np.minimum(0.014 / np.sqrt(1 - rng.random(count) * 0.997), 0.25) * size
    x, y = rng.random((2, count)) * size
    angle, stretch = rng.uniform(0, math.pi, count), rng.uniform(0.5, 1.0, count)
    corners = rng.choice([1.0, 2.0, 2.0, 8.0], count)  # the exponent of a superellipse: diamond, disc, box
    colors = base * np.exp(0.6 * rng.standard_normal((count, 1))) + 0.06 * rng.standard_normal((count, 3))
    slopes = 0.2 * rng.standard_normal((2, count))
    canvas, covered = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
    for n, radius in enumerate(radii):
        rows, columns, v, u = window(size, x[n], y[n], radius, 1.0)
        cosine, sine = math.cos(angle[n]) / stretch[n], math.sin(angle[n])
        across = np.abs(u[None] * cosine + v[:, None] * (sine / stretch[n]))
        along = np.abs(v[:, None] * math.cos(angle[n]) - u[None] * sine)
        inside = across ** corners[n] + along ** corners[n] < 1
        shade = 1 + slopes[0, n] * u[None] + slopes[1, n] * v[:, None]
        canvas[rows, columns][inside] = (shade[..., None] * colors[n])[inside]
        covered[rows, columns][inside] = 1
    return canvas, covered


def window(size: int, x: float, y: float, radius: float, radii: float) -> tuple[slice, slice, Grid, Grid]:
    """The pixels within ``radii`` times ``radius`` of a point: their rows, columns, and coordinates v, u in radii."""
    span = int(radius * radii) + 2
    x0, x1, y0, y1 = (min(size, max(0, int(edge))) for edge in (x - span, x + span, y - span, y + span))
    u = (np.arange(x0, x1, dtype=np.float32) + 0.5 - x) / radius
    v = (np.arange(y0, y1, dtype=np.float32) + 0.5 - y) / radius
    return slice(y0, y1), slice(x0, x1), v, u


def soften(canvas: Grid, passes: int) -> Grid:
    """Blur (H, W, 3) by a 3×3 binomial filter, ``passes`` times."""
    for _ in range(passes):
        padded = np.pad(canvas, ((1, 1), (1, 1), (0, 0)), "edge")
        rows = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
        canvas = 0.25 * rows[:, :-2] + 0.5 * rows[:, 1:-1] + 0.25 * rows[:, 2:]
    return canvas


def draw_surface(rng: Generator, name: str, size: int) -> Grid:
    """Draw the surface ``name``, (size, size, 3), RGB about [0, 1]; half of the surfaces end at a horizon."""
    base = np.array(SURFACES[name], np.float32) * np.float32(np.exp(rng.normal(0, 0.2)))
    base = base + rng.normal(0, 0.03, 3).astype(np.float32)
    light = power_law_noise(rng, size, rng.uniform(0.6, 1.2))[..., None]
    chroma = np.roll(light, size // 2, axis=0) * rng.normal(0, 0.02, 3).astype(np.float32)
    canvas = base * (1 + rng.uniform(0.05, 0.25) * light) + chroma
    if rng.random() < 0.85:
        leaves, covered = dead_leaves(rng, base, size, int(rng.integers(60, 300)))
        opacity = rng.uniform(0.5, 1.0) * covered[..., None]
        canvas += opacity * (leaves * (1 + rng.uniform(0.0, 0.2) * light) - canvas)
    if rng.random() < 0.5:
        canvas = _add_backdrop(rng, canvas)
    return soften(canvas, int(rng.choice([0, 1, 2], p=[0.6, 0.25, 0.15])))


def _add_backdrop(rng: Generator, canvas: Grid) -> Grid:
    """Draw a sky, a wall or distant shapes above a horizon."""
    size = len(canvas)
    sky = np.array([0.50, 0.64, 0.82] if rng.random() < 0.5 else rng.uniform(0.15, 0.8, 3), np.float32)
    backdrop = sky * (1 + rng.uniform(0.03, 0.2) * power_law_noise(rng, size, 1.3))[..., None]
    if rng.random() < 0.5:
        shapes, covered = dead_leaves(rng, rng.uniform(0.1, 0.6, 3), size, int(rng.integers(20, 120)))
        backdrop += covered[..., None] * (shapes - backdrop)
    height = (np.arange(size, dtype=np.float32) / size)[:, None, None]
    above = np.clip((rng.uniform(0.15, 0.5) - height) * size / 2 + 0.5, 0, 1)
    return np.asarray(above * backdrop + (1 - above) * canvas, np.float32)


def illumination(rng: Generator, size: int) -> Grid:
    """Draw uneven light, (size, size, 1), about 1: a slope across the scene and soft shadows."""
    y, x = (np.arange(size, dtype=np.float32) / size - 0.5)[:, None], (np.arange(size, dtype=np.float32) / size - 0.5)
    slope_x, slope_y = rng.normal(0, 0.35, 2)
    shadows = rng.uniform(0.0, 0.25) * power_law_noise(rng, size, 2.0)
    return np.asarray(np.exp(slope_x * x + slope_y * y + shadows)[..., None], np.float32)
