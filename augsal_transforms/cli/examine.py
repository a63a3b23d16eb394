"""What of an installation is there and what is missing, without loading a model or touching the network."""

from __future__ import annotations

import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import torch

from augsal_transforms.diffusion.hub import check_model, locate_model

LIBRARIES = ("augsal-transforms", "torch", "torchvision", "diffusers", "transformers", "kornia", "scipy")


class Finding(NamedTuple):
    """One thing looked at: what, how it was found, and whether it is missing where it was asked for."""

    what: str
    found: str
    missing: bool = False


def examine(editor: str | None = None, store: Path | None = None) -> list[Finding]:
    """Look at versions, the GPU, a model on disk, a store's folder and the space left.

    Args:
        editor: The model that must be on this disk; for ``None`` it is told whether ``"sd-v1-5"`` is.
        store: The folder that must be writable.
    """
    findings = [Finding("python", platform.python_version()), *(Finding(name, _version(name)) for name in LIBRARIES)]
    findings += [Finding("GPU", _gpu()), _model(editor or "sd-v1-5", wanted=editor is not None)]
    if store is not None:
        findings.append(_writable(store))
    place = _existing(store or Path.cwd())
    return [*findings, Finding("free space", f"{shutil.disk_usage(place).free / 1e9:.1f} GB at {place}")]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none that torch can use; models run on the CPU"
    devices = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return ", ".join(f"{device.name} ({device.total_memory / 1e9:.0f} GB)" for device in devices)


def _model(name: str, *, wanted: bool) -> Finding:
    try:
        folder = locate_model(name, local_files_only=True)
        check_model(folder)
    except (FileNotFoundError, ValueError) as error:
        return Finding(f"model {name}", str(error) if wanted else "not on this disk", wanted)
    return Finding(f"model {name}", str(folder))


def _writable(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):  # what permissions say is not all that decides
            return Finding("store", f"{folder} can be written to{'' if folder.exists() else ', and will be made'}")
    except OSError as error:
        return Finding("store", f"{folder} cannot be written to: {error.strerror}", missing=True)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
