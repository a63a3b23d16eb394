"""A study of people on disk, of 2×2 images whose left half is edited; how many of four fixations hit it is given."""

import csv

import numpy as np
import PIL.Image

HALF = np.array([[255, 0], [255, 0]], np.uint8)


def write_study(folder, hits, alphas=(1.2, 1.8), kind="contrast"):
    """``hits``: for each original, how many of four fixations are left, before and after each edit; ``None``: unseen.

    Half of the fixations are a share of 1, so a hit more is a change of 0.5.
    """
    (folder / "masks").mkdir(parents=True)
    edits, fixations = [], []
    for original, counts in hits.items():
        PIL.Image.fromarray(HALF).save(folder / "masks" / f"{original}.png")
        names = [original, *(f"{original}-{alpha:g}" for alpha in alphas)]
        edits += [(name, original, kind, alpha) for name, alpha in zip(names[1:], alphas, strict=True)]
        for name, count in zip(names, counts, strict=True):
            left = range(0) if count is None else range(4)
            fixations += [(f"{name}.png", 0.5 if n < count else 1.5, n % 2 + 0.25) for n in left]
    write_table(folder / "edits.csv", ("edit", "original", "kind", "alpha"), edits)
    write_table(folder / "fixations.csv", ("image", "x", "y"), fixations)
    return folder


def write_table(path, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


# Means over strengths 0.25, 0.5 and 0.75: mean 0.5, deviation 0.25, t = 2 √3; p = 1 − t / √(2 + t²) as in test_shift.
RISE = {"a": (2, 2, 3), "b": (2, 3, 3), "c": (1, 2, 3)}
T = 2 * 3**0.5
P = 1 - T / (2 + T**2) ** 0.5
