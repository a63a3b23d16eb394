"""Open what `augsal generate` works with: the data set, the editor and the store."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augsal_transforms.cli.gates import GateOptions, open_gate

if TYPE_CHECKING:
    from augsal_transforms import SaliencyEditor
    from augsal_transforms.data.folders import SaliencyFolder
    from augsal_transforms.generate.generation import Generation

DataFiles = tuple[Path, str, str, float | None, str]  # folder, split, layout, sigma, and the predictor of maps or ""


def open_generation(
    files: DataFiles, store: Path, edits: list[Any], seed: int, gate: GateOptions, check_pixels: bool, **options: Any
) -> Generation:
    """The generation that fills the store, in this process or in an actor."""
    from augsal_transforms import EditStore
    from augsal_transforms.generate.generation import Generation

    editor = open_editor(**options)
    place = str(editor.model.device)
    given: Any = {"seed": seed, "saliency_gate": open_gate(gate, place), "check_pixels": check_pixels}
    return Generation(editor, EditStore(store), open_data(files, place), edits, **given)


def open_data(files: DataFiles, device: str = "cpu") -> SaliencyFolder:
    """The data set; the predictor of its maps, if any, is loaded on ``device`` when the first is read."""
    from augsal_transforms import SaliencyPredictor
    from augsal_transforms.data.layouts import open_layout
    from augsal_transforms.generate.predicted_maps import open_unmapped

    folder, split, layout, sigma, predictor = files
    if not predictor:
        return open_layout(folder, split, layout, sigma)
    load = partial(SaliencyPredictor.from_pretrained, predictor, device=device)
    return open_unmapped(folder, split, layout, load)


def open_editor(editor: str, device: str, dtype: str, batch_size: int | None, *, compile: bool) -> SaliencyEditor:
    """An editor on this process's device, in the precision that suits it, with batches that fit."""
    import torch

    from augsal_transforms import EditConfig, SaliencyEditor
    from augsal_transforms.generate.launch import own_device

    place = own_device(os.environ, device)
    if dtype == "auto":
        dtype = "float16" if place.startswith("cuda") else "float32"
    # Halved where a GPU's memory does not hold it. On a CPU an edit in a batch of 8 takes 0.73 of the time, of 4 0.75.
    config = EditConfig(batch_size=(32 if place.startswith("cuda") else 8) if batch_size is None else batch_size)
    precision = getattr(torch, dtype)
    return SaliencyEditor.from_pretrained(editor, device=place, dtype=precision, config=config, compile=compile)
