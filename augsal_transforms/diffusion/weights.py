"""Read the files of a model folder as data: nothing is run, unpickled, or followed out of the folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
VARIANTS = ("", ".fp16", ".bf16")  # full precision first
MAX_JSON = 32 * 2**20  # bytes; an index of thousands of tensors has less than one megabyte


def check_file(path: Path, folder: Path) -> None:
    """Refuse what is not a regular file of the folder.

    A link may lead to another file of the folder. In the hub's cache it may also lead to the cache's blobs.

    Raises:
        ValueError: If it is missing, is no regular file, or leads out of the folder.
    """
    root, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
    allowed = [root, *([root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [])]
    if not any(real.is_relative_to(place) for place in allowed):
        raise ValueError(f"{path} leads out of {folder}, to {real}. Put a copy of the file in its place.")
    if not real.is_file():
        raise ValueError(f"{path} must be a regular file; it is missing, or it is something else.")


def read_json(path: Path, folder: Path) -> dict[str, Any]:
    """Read a file of a model folder that holds one JSON object.

    Raises:
        ValueError: If it is no such file.
    """
    check_file(path, folder)
    if path.stat().st_size > MAX_JSON:
        raise ValueError(f"{path} must be a JSON file of {MAX_JSON} bytes at most, got {path.stat().st_size}.")
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a JSON file: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, got a {type(value).__name__}.")
    return value


def weight_files(folder: Path, part: str) -> list[Path]:
    """The safetensors files of a network: one file, or the shards that its index names.

    Full precision is preferred over the half-precision variants ``fp16`` and ``bf16``.

    Args:
        folder: Folder of the pipeline.
        part: ``"unet"``, ``"vae"`` or ``"text_encoder"``.

    Returns:
        The files in the order of their names; an empty list if there are none.

    Raises:
        ValueError: If the index names anything other than ``.safetensors`` files that stand beside it.
    """
    for variant in VARIANTS:
        single = folder / part / f"{STEMS[part]}{variant}.safetensors"
        if os.path.lexists(single):
            return [single]
        index = folder / part / f"{STEMS[part]}.safetensors.index{variant}.json"
        if os.path.lexists(index):
            return _shards(index, folder)
    return []


def _shards(index: Path, folder: Path) -> list[Path]:
    names = read_json(index, folder).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise ValueError(f"{index} must have a `weight_map` from the names of tensors to the names of files.")
    for name in names.values():
        if not name.endswith(".safetensors") or "/" in name or "\\" in name or "\0" in name:
            raise ValueError(
                f"{index} names {name!r} as a file of weights. It must name .safetensors files that stand beside it; "
                "pickled weights are never read. `pipeline.save_pretrained(folder, safe_serialization=True)` writes "
                "such a folder."
            )
    return [index.parent / name for name in sorted(set(names.values()))]


@contextmanager
def open_tensors(path: Path, folder: Path) -> Iterator[Any]:
    """Open a safetensors file whose header agrees with its length.

    Raises:
        ValueError: If the file is missing, leads out of the folder, is truncated, or is no safetensors file.
    """
    check_file(path, folder)
    try:
        with safe_open(path, framework="pt") as tensors:
            yield tensors
    except (SafetensorError, OSError, EOFError) as error:
        raise ValueError(f"{path} must be a whole safetensors file: {error}") from error


def read_shapes(paths: Sequence[Path], folder: Path) -> dict[str, tuple[int, ...]]:
    """The name and shape of every tensor, from the headers alone.

    Raises:
        ValueError: If a file is broken, or if two files hold the same tensor.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in paths:
        with open_tensors(path, folder) as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                if name in shapes:
                    raise ValueError(f"{path} repeats the tensor {name!r} of another file.")
                shapes[name] = tuple(tensors.get_slice(name).get_shape())
    return shapes


def read_tensors(paths: Sequence[Path], folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The name and values of every tensor, one after another.

    Raises:
        ValueError: If a file is broken.
    """
    for path in paths:
        with open_tensors(path, folder) as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                tensor: Tensor = tensors.get_tensor(name)
                yield name, tensor
