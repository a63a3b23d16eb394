"""Identity of an editor: everything in it that affects the pixels of an edit. And its description in records."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from augsal_transforms.diffusion.weights import check_file
from augsal_transforms.editor.constraint import property_bounds

if TYPE_CHECKING:
    from augsal_transforms.config import EditConfig
    from augsal_transforms.diffusion.calibration import Calibration
    from augsal_transforms.editor.editor import SaliencyEditor
    from augsal_transforms.editor.saliency_gate import SaliencyGate
    from augsal_transforms.readouts.readouts import Readouts

_SAMPLES, _SAMPLE = 64, 4096  # number of samples of a weight file, and bytes of each
_CARD = 1 << 16  # bytes of a model's card that are read; its licence stands at the beginning
# The values that a key leaves out: the defaults of EditConfig when schema 2 began. They stay as they are when a
# default changes, or one key would name the edits of both defaults. A later field is left out at its first default.
_LEFT_OUT: dict[str, Any] = {
    **{"steps": 1, "noise_level": 0.2, "resolution": None, "attention_size": 16, "threshold": 0.25},
    **{"softness": 0.2, "keep_stopwords": False, "pivot": "gamma", "injection": 0.5},
    **{"color_injection": 0.9, "guidance": 1.0, "max_std": 2.0, "decode": "full"},
}
_FOREIGN = {"Thumbs.db", "desktop.ini"}  # files that a file browser leaves in a model's folder
_NOT_IN_KEYS = {"batch_size"}  # affects the time that an edit takes, and not its pixels


def editor_identity(editor: SaliencyEditor) -> dict[str, Any]:
    """Identity of an editor in keys: its weights, calibration, precision and config, wherever the model's folder is."""
    return {
        "model": model_fingerprint(editor.model.folder),
        "calibration": calibration_fingerprint(editor.calibration),
        "dtype": str(editor.model.unet.dtype).removeprefix("torch."),
        "config": config_identity(editor.config),
        **({"gate": gate_fingerprint(editor.gate)} if editor.gate is not None else {}),
    }


def calibration_fingerprint(calibration: Calibration) -> str:
    """SHA-256 of the numbers of a calibration."""
    digest = hashlib.sha256()
    for name in ("decoder", "intercept", "pseudo_inverse", "std"):
        digest.update(getattr(calibration, name).detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def config_identity(config: EditConfig) -> dict[str, Any]:
    """Fields of a config that differ from the values that keys leave out; floats as text."""
    differing = dict[str, Any]()
    for field in fields(config):
        value, left_out = getattr(config, field.name), _LEFT_OUT.get(field.name, field.default)
        if field.name not in _NOT_IN_KEYS and value != left_out:
            # 2 and 2.0 are one guidance.
            differing[field.name] = repr(float(value)) if isinstance(left_out, float) else value
    return differing


def schema_1_config(differing: dict[str, Any]) -> dict[str, Any] | None:
    """The same config in keys of schema 1, which had every field; ``None`` where it has a field that is newer."""
    if not differing.keys() <= _LEFT_OUT.keys():
        return None
    config = {name: repr(value) if isinstance(value, float) else value for name, value in _LEFT_OUT.items()}
    config |= differing
    config["deviations"] = config.pop("max_std")
    if config["decode"] == "full":
        del config["decode"]
    return config


def saliency_gate_identity(gate: SaliencyGate) -> dict[str, Any]:
    """Identity of a saliency gate in keys: its predictor's weights and how it chooses; the candidates come to it."""
    predictor = predictor_fingerprint(gate.predictor)
    return {"predictor": predictor, "choose": gate.choose, "margin": repr(float(gate.margin))}


def predictor_fingerprint(predictor: Any) -> str:
    """SHA-256 of what a predictor predicts with: the weights of its networks, their settings and its numbers.

    A predictor of another form states a text of its own in an attribute ``fingerprint``.

    Raises:
        TypeError: If it has neither a network nor a ``fingerprint``.
    """
    stated = getattr(predictor, "fingerprint", None)
    if isinstance(stated, str) and stated:
        return hashlib.sha256(stated.encode()).hexdigest()
    digest, parts = hashlib.sha256(), {"": predictor} if isinstance(predictor, nn.Module) else vars(predictor)
    networks = {name: part for name, part in sorted(parts.items()) if isinstance(part, nn.Module)}
    if not networks:
        raise TypeError(
            f"`predictor` must hold its network (a torch Module) in an attribute, or a text `fingerprint` that changes "
            f"when its weights do, so that a store knows its edits again, got {type(predictor).__name__}."
        )
    for name, network in networks.items():
        digest.update(f"{name} {getattr(network, 'config', '')}\n".encode())
        for weight_name, weight in network.state_dict().items():
            digest.update(weight_name.encode() + weight.cpu().float().numpy().tobytes())
    numbers = {name: part for name, part in sorted(parts.items()) if isinstance(part, (int, float))}
    digest.update(repr(numbers).encode())
    if isinstance(folder := getattr(parts.get("model"), "folder", None), Path):
        digest.update(model_fingerprint(folder).encode())
    return digest.hexdigest()


def gate_fingerprint(readouts: Readouts) -> str:
    """SHA-256 of the weights that LLFR reads with: the low-level features and the photometric heads."""
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
            if path.name.startswith(".") or path.name in _FOREIGN or not path.is_file():
                continue
            size = path.stat().st_size
            digest.update(f"{part}/{path.name} {size}\n".encode("utf-8", "surrogatepass"))
            with path.open("rb") as file:
                for n in range(_SAMPLES if size > _SAMPLES * _SAMPLE else 1):
                    file.seek(n * (size - _SAMPLE) // (_SAMPLES - 1) if n else 0)
                    digest.update(file.read(_SAMPLE if size > _SAMPLES * _SAMPLE else size))
    return digest.hexdigest()


def describe(editor: SaliencyEditor) -> dict[str, Any]:
    """Name of an editor, licence of its weights, its bounds, and library versions, for records, not for keys."""
    bounds = property_bounds(editor.calibration.std, editor.config.max_std)
    libraries = ("augsal-transforms", "torch", "diffusers", "transformers")
    return {
        "editor": editor.name,
        "licence": _licence(editor),
        "bounds": bounds.tolist() if bounds.isfinite().all() else None,  # JSON has no infinity
        "versions": {name: _version(name) for name in libraries},
    }


def _licence(editor: SaliencyEditor) -> str:
    if editor.name == "bundled":
        return "Apache-2.0"
    card, text = editor.model.folder / "README.md", ""
    with suppress(ValueError, OSError):  # no card, a pipe, or a link out of the folder
        check_file(card, editor.model.folder)
        with card.open("rb") as file:
            text = file.read(_CARD).decode("utf-8", "replace")
    stated = re.search(r"^license:\s*(\S+)", text, re.MULTILINE)
    return stated[1] if stated else "CreativeML OpenRAIL-M" if editor.name == "sd-v1-5" else "see the model's card"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a checkout on the path
        return ""
