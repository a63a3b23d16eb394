"""Edited photographs that heads are measured on, with what judges of people's gaze say about each edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from judges import Judge
from safetensors.torch import load_file, save
from torch import Tensor

from augsal_transforms import SaliencyEditor
from augsal_transforms.files import write_file
from augsal_transforms.progress import progress_bar
from table2.edited_trial import agreement
from table2.frozen import Features, FrozenHead
from table2.photograph_data import Preparation
from table2.photograph_edits import CHUNK, PhotographEdits, rises, write_edits
from table2.photographs import GRID, Photographs
from table2.scoring import mean_scores, score_maps


@dataclass(frozen=True, kw_only=True)
class EditedPhotographs:
    """Photographs, N of them, and their edits, K of them.

    Attributes:
        photographs: The originals.
        features: Features of the originals.
        edited_features: Features of the edited images.
        rows: Row of the photograph of each edit, (K,).
        edit_masks: M at the head's resolution, (K, 1, h, w), in [0, 1].
        judged: The rise of each edit by each judge, log g_E − log g, (K,).
    """

    photographs: Photographs
    features: Features
    edited_features: Features
    rows: Tensor
    edit_masks: Tensor
    judged: Mapping[str, Tensor]

    @torch.no_grad()
    def score(self, head: FrozenHead) -> dict[str, float]:
        """CC on the originals, steadiness outside the region, and agreement with each judge inside."""
        maps, after = head(self.features), head(self.edited_features)
        before = maps[self.rows]
        predicted = rises(before, after, self.edit_masks)
        scores = {"cc": mean_scores(score_maps(maps, self.photographs))["cc"]}
        scores["moved"] = moved_outside(before, after, self.edit_masks).mean().item()
        for judge, true in self.judged.items():
            scores |= {f"{name}_{judge}": value for name, value in agreement(predicted, true).items()}
        return scores


def moved_outside(before: Tensor, after: Tensor, edit_masks: Tensor) -> Tensor:
    """The share of the gaze outside the region that moves to another place there, (K,), in [0, 1].

    Args:
        before: S′ of the original of each edit, (K, 1, h, w).
        after: S′_E, shaped like ``before``.
        edit_masks: M, shaped like ``before``, in [0, 1].
    """
    outside = [maps * (1 - edit_masks) for maps in (before, after)]
    densities = [maps / maps.sum((1, 2, 3), keepdim=True).clamp(min=1e-12) for maps in outside]
    return (densities[1] - densities[0]).abs().sum((1, 2, 3)) / 2


def open_edited_photographs(preparation: Preparation, part: str, judges: Mapping[str, Judge]) -> EditedPhotographs:
    """Edit the photographs of a part and compute what ``score`` needs; what is there already is read.

    Args:
        preparation: Where and with what.
        part: Name of a part.
        judges: Judges by name.
    """
    photographs, folder = preparation.photographs(part), preparation.folder / f"edits_of_{part}"
    with progress_bar(total=len(photographs.names), desc="edits") as bar:
        open_editor = partial(SaliencyEditor.from_pretrained, preparation.editor)
        write_edits(folder, photographs, open_editor, bar.update)
    edits = PhotographEdits.read(folder)
    masks = F.adaptive_avg_pool2d(edits.edit_masks.float() / 255, GRID)
    return EditedPhotographs(
        photographs=photographs,
        features=preparation.features(part, lambda: photographs.images),
        edited_features=preparation.features(folder.name, lambda: edits.images),
        rows=edits.photographs,
        edit_masks=masks,
        judged={
            name: _judged(judge, photographs, edits, masks, preparation.folder / f"judged_{part}_{name}.safetensors")
            for name, judge in judges.items()
        },
    )


def _judged(judge: Judge, photographs: Photographs, edits: PhotographEdits, masks: Tensor, path: Path) -> Tensor:
    """The rise of each edit by a judge, from the file or computed now."""
    if not path.exists():
        chunks = torch.cat([photographs.images, edits.images]).split(CHUNK)
        computed = [judge.densities(judge.compute(chunk)) for chunk in progress_bar(chunks, desc=judge.kind)]
        before, after = torch.cat(computed).split([len(photographs.images), len(edits.images)])
        write_file(path, save({"rises": rises(before[edits.photographs], after, masks)}))
    return load_file(path)["rises"]
