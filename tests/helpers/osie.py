"""A small data set on disk, in OSIE's layout."""

import numpy as np
import PIL.Image
from scipy.io import savemat

SIZE = (30, 40)  # (H, W)
# Of two viewers: x and y from 1, in pixels with fractions; whole pixels from 0 are (4, 9), (19, 2) and (39, 29).
VIEWERS = (([5.2, 20.4], [10.0, 2.6]), ([40.0], [30.0]))
POINTS = [[4, 9], [19, 2], [39, 29]]


def cell(elements):
    """A MATLAB cell of one column."""
    values = np.empty((len(elements), 1), object)
    for row, element in zip(values, elements, strict=True):
        row[0] = element
    return values


def viewer(x, y, **more):
    return {"fix_x": np.array([x], float), "fix_y": np.array([y], float), "fix_duration": np.ones((1, len(x))), **more}


def entry(img, viewers=VIEWERS):
    return {"img": img, "subjects": cell([viewer(*points) for points in viewers])}


def write_osie(folder, entries, stems=("1001", "1002"), size=SIZE):
    """The files of the authors' repository, with these entries for the images of these stems."""
    (folder / "data" / "stimuli").mkdir(parents=True)
    (folder / "data" / "eye").mkdir()
    for n, stem in enumerate(stems):
        pixels = np.random.default_rng(n).integers(20, 220, (size[0] // 10, size[1] // 10, 3)).astype(np.uint8)
        PIL.Image.fromarray(pixels.repeat(10, 0).repeat(10, 1)).save(folder / "data" / "stimuli" / f"{stem}.jpg")
    savemat(folder / "data" / "eye" / "fixations.mat", {"fixations": cell(entries)})
    return folder
