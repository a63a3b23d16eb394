"""A study of people on disk: images of 20×20 whose left half is edited, each with four fixations."""

import csv

import numpy as np
import PIL.Image

SIZE = 20
HALF = np.repeat([[255, 0]], SIZE // 2, axis=1).repeat(SIZE, axis=0).astype(np.uint8)


def write_study(folder, hits, alphas=(1.2, 1.8), kind="contrast"):
    """Write a study.

    Args:
        folder: The study's folder.
        hits: By original: number of its four fixations in the left half, before and after each edit; ``None`` for an
            image without fixations. One more of four, on half of the image, is a change of (1/4) / (1/2) = 0.5.
        alphas: α of the edits.
        kind: Kind of the edits.
    """
    (folder / "masks").mkdir(parents=True)
    edits, fixations = [], []
    for original, counts in hits.items():
        PIL.Image.fromarray(HALF).save(folder / "masks" / f"{original}.png")
        names = [original, *(f"{original}-{alpha:g}" for alpha in alphas)]
        edits += [(name, original, kind, alpha) for name, alpha in zip(names[1:], alphas, strict=True)]
        for name, count in zip(names, counts, strict=True):
            left = range(0) if count is None else range(4)
            fixations += [(f"{name}.png", 5.5 if n < count else 15.5, 4 * n + 3.25) for n in left]
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
