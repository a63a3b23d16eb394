"""`augsal doctor`: what is installed and what is missing, without loading a model or touching the network."""

from __future__ import annotations

import json
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from augsal_transforms.cli.errors import FAILURES
from augsal_transforms.cli.options import EDITOR, AsJson
from augsal_transforms.cli.outputs import check_folder, existing_parent
from augsal_transforms.cli.preflight import EXTRAS
from augsal_transforms.cli.units import as_size

LIBRARIES = (
    *("augsal-transforms", "torch", "torchvision", "diffusers", "transformers", "kornia", "huggingface_hub"),
    *("scipy", "matplotlib", "ray"),
)
_ABSENT = "not installed"


class Finding(NamedTuple):
    """One thing that was looked for, its state, and whether it is missing though it was asked for."""

    what: str
    found: str
    missing: bool = False


def doctor(
    editor: Annotated[str | None, typer.Option(help="A model that must be on this disk.")] = None,
    store: Annotated[Path | None, typer.Option(help="A store's folder that must be writable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print versions, the GPU, models on this disk and free space; never connect.

    Exit code 3 if a model or a store that was asked for is missing.
    """
    findings = examine(editor, store)
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            typer.echo(f"{'missing: ' if finding.missing else ''}{finding.what:20s} {finding.found}")
    if any(finding.missing for finding in findings):
        raise typer.Exit(FAILURES)


def examine(editor: str | None = None, store: Path | None = None) -> list[Finding]:
    """Look at versions, the GPU, a model on disk, a store's folder and the free space.

    Args:
        editor: A model that must be on this disk; for ``None`` the default one is looked for, and may be missing.
        store: A folder that must be writable; for ``None`` the free space of the current folder is reported.
    """
    findings = [Finding("python", platform.python_version()), *(Finding(name, _version(name)) for name in LIBRARIES)]
    findings += [Finding("GPU", _gpu()), _model(editor or EDITOR, wanted=editor is not None)]
    if store is not None:
        findings.append(_writable(store))
    place = existing_parent(store or Path.cwd())
    return [*findings, Finding("free space", f"{as_size(shutil.disk_usage(place).free)} at {place}")]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return (
            f'not installed; optional: pip install "augsal-transforms[{EXTRAS[name][1]}]"'
            if name in EXTRAS
            else _ABSENT
        )


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none that torch can use; models run on the CPU"
    devices = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return ", ".join(f"{device.name} ({as_size(device.total_memory)})" for device in devices)


def _model(name: str, *, wanted: bool) -> Finding:
    from augsal_transforms.diffusion.hub import check_model, locate_model

    try:
        folder = locate_model(name, local_files_only=True)
        check_model(folder)
    except (FileNotFoundError, ValueError) as error:
        return Finding(f"model {name}", str(error) if wanted else "not on this disk", wanted)
    return Finding(f"model {name}", str(folder))


def _writable(folder: Path) -> Finding:
    try:
        check_folder(folder, "--store")
    except (ValueError, OSError) as error:
        return Finding("store", f"{folder} cannot be written to: {error}", missing=True)
    return Finding("store", f"{folder} can be written to{'' if folder.exists() else ', and will be made'}")
