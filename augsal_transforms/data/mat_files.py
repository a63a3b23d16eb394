"""MATLAB's .mat files, as SciPy reads them: in full or refused with the file's name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from augsal_transforms.data.images import MAX_PIXELS
from augsal_transforms.data.names import printable
from augsal_transforms.faults import belongs_to_image


def load_mat(path: Path, keys: Sequence[str], *, objects: bool = False) -> tuple[dict[str, Any], list[str]]:
    """The variables of a .mat file that are named, and the names of all that it holds.

    Args:
        path: The file.
        keys: Names of the variables to read.
        objects: ``True`` reads structs as objects with attributes and drops dimensions of one element; ``False`` reads
            them as arrays of two dimensions and more.

    Raises:
        ValueError: If the file cannot be read, or one of these variables has more than 50 million elements.
        ImportError: If scipy is not installed.
    """
    try:
        from scipy.io import loadmat, whosmat
    except ImportError as error:
        raise ImportError(
            f'{printable(path)} needs scipy to be read: pip install "augsal-transforms[salicon]". '
            "Where it is installed, `augsal convert-fixations` makes .png fixation maps, which need no scipy."
        ) from error
    try:
        variables = {name: shape for name, shape, _ in whosmat(path)}
        if huge := [name for name, shape in variables.items() if name in keys and math.prod(shape) > MAX_PIXELS]:
            raise ValueError(f"{huge[0]} has more than {MAX_PIXELS // 10**6} million elements")
        return loadmat(path, variable_names=keys, squeeze_me=objects, struct_as_record=not objects), list(variables)
    except NotImplementedError as error:  # scipy's error for HDF5
        raise ValueError(
            f"{printable(path)} is a MATLAB 7.3 file (HDF5), which is not read. Save it again in MATLAB with "
            "save(..., '-v7')."
        ) from error
    except Exception as error:  # a damaged file fails anywhere in scipy's parser
        if not belongs_to_image(error):
            raise
        raise ValueError(f"{printable(path)} is not a readable .mat file: {error}") from error
