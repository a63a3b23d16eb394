"""What of an editor decides the pixels, for keys, and what a record should say of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augsal_transforms.editor.editor import SaliencyEditor
    from augsal_transforms.readouts.readouts import Readouts

_SAMPLES, _SAMPLE = 64, 4096  # of a weight file, and bytes each


def editor_identity(editor: SaliencyEditor) -> dict[str, Any]:
    """What of an editor decides the pixels: its weights, calibration, precision and config; not where it lies."""
    config = asdict(editor.config)
    del config["batch_size"]
    config["deviations"] = config.pop("max_std")  # its name in the keys of every store
    calibration = hashlib.sha256()
    for name in ("decoder", "intercept", "pseudo_inverse", "std"):
        calibration.update(getattr(editor.calibration, name).detach().cpu().numpy().tobytes())
    return {
        "model": model_fingerprint(editor.model.folder),
        "calibration": calibration.hexdigest(),
        "dtype": str(editor.model.unet.dtype).removeprefix("torch."),
        "config": {name: repr(value) if isinstance(value, float) else value for name, value in config.items()},
        **({"gate": gate_fingerprint(editor.gate)} if editor.gate is not None else {}),
    }


def gate_fingerprint(readouts: Readouts) -> str:
    """SHA-256 of what LLFR reads with: the low-level features and the photometric heads."""
    digest = hashlib.sha256()
    for part in (readouts.low, readouts.photometric):
        for name, weight in part.state_dict().items():
            digest.update(name.encode() + weight.cpu().float().numpy().tobytes())
    return digest.hexdigest()


def model_fingerprint(folder: Path) -> str:
    """SHA-256 of a pipeline's configs and of each weight file's length and 64 evenly spaced samples.

    A retrained network differs in all of its weights, and hashing 4 GB whole would take longer than loading.
    """
    digest = hashlib.sha256()
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        for path in sorted((folder / part).iterdir()):
            size = path.stat().st_size
            digest.update(f"{part}/{path.name} {size}\n".encode())
            with path.open("rb") as file:
                for n in range(_SAMPLES if size > _SAMPLES * _SAMPLE else 1):
                    file.seek(n * (size - _SAMPLE) // (_SAMPLES - 1) if n else 0)
                    digest.update(file.read(_SAMPLE if size > _SAMPLES * _SAMPLE else size))
    return digest.hexdigest()


def describe(editor: SaliencyEditor) -> dict[str, Any]:
    """What a record says of its making beside its key: the editor's name, its weights' licence, versions."""
    libraries = ("augsal-transforms", "torch", "diffusers", "transformers")
    return {
        "editor": editor.name,
        "licence": _licence(editor),
        "versions": {name: _version(name) for name in libraries},
    }


def _licence(editor: SaliencyEditor) -> str:
    if editor.name == "bundled":
        return "Apache-2.0"
    card = editor.model.folder / "README.md"
    stated = re.search(r"^license:\s*(\S+)", card.read_text(), re.MULTILINE) if card.exists() else None
    return stated[1] if stated else "CreativeML OpenRAIL-M" if editor.name == "sd-v1-5" else "see the model's card"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a checkout on the path
        return ""
