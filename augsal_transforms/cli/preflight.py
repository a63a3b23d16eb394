"""Checks before the first second of a command's work: device, model, optional libraries."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

EXTRAS = {"scipy": ("SciPy", "salicon"), "matplotlib": ("matplotlib", "viz"), "ray": ("Ray", "ray")}


def check_device(device: str) -> str:
    """The device of this process, as torch names it: for ``"auto"`` its GPU, or the CPU where there is none.

    Raises:
        ValueError: If there is no such device, or this build of torch cannot use it.
    """
    from augsal_transforms.diffusion.loading import find_device
    from augsal_transforms.generate.launch import own_device

    place = own_device(os.environ, device)
    try:
        found = find_device(place)
    except ValueError as error:
        raise ValueError(f"--device: {error}") from error
    if found.type == "meta":  # torch's device without numbers
        raise ValueError("--device must be auto, cpu, or the name of a device that computes, got 'meta'.")
    return place


def check_editor(name: str) -> None:
    """Look for a model on disk, or fetch it from the hub, and refuse what the editor cannot run on.

    Raises:
        ValueError: If there is no such model, or its kind does not fit.
        FileNotFoundError: If it is not on disk and cannot be fetched, or a part of it is missing.
    """
    from augsal_transforms.diffusion.hub import check_model, locate_model

    try:
        check_model(locate_model(name))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"--editor: {error}") from error
    except ValueError as error:
        raise ValueError(f"--editor: {error}") from error


def check_library(module: str, purpose: str) -> None:
    """Refuse a task whose optional library is not installed.

    Raises:
        ImportError: If it is not; the message has the command that installs it.
    """
    if find_spec(module) is None:
        title, extra = EXTRAS[module]
        raise ImportError(f'{purpose} needs {title}: pip install "augsal-transforms[{extra}]".')


def check_mat_files(paths: Iterable[Path]) -> None:
    """Refuse fixations in .mat files where SciPy is not installed.

    Raises:
        ImportError: If it is not and there are such files.
    """
    if any(path.suffix.lower() == ".mat" for path in paths):
        check_library("scipy", "Reading fixations from .mat files")


def check_number(value: float, option: str, *, above: float | None = None, least: float | None = None) -> None:
    """Refuse a number that is not finite, or too small.

    Args:
        value: The number that was given.
        option: Its option, for the message.
        above: A bound that the value must exceed.
        least: The smallest value allowed.

    Raises:
        ValueError: If it is out of range.
    """
    if math.isfinite(value) and (above is None or value > above) and (least is None or value >= least):
        return
    bound = f"above {above:g}" if above is not None else f"of {least:g} or more"
    raise ValueError(f"{option} must be a finite number {bound}, got {value:g}.")
