"""What trials on photographs need, made once and kept in a folder: photographs, edits, features and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from augsal_transforms import SaliencyEditor, SaliencyPredictor
from augsal_transforms.annotation_pairs import reweight_saliency_map
from augsal_transforms.files import write_file
from augsal_transforms.progress import progress_bar
from table2.encoders import ImageNetWeights
from table2.frozen import Features, compute_features
from table2.photograph_edits import CHUNK, PhotographEdits, rises, write_edits
from table2.photograph_trial import EditFeatures, TrainingFeatures
from table2.photographs import GRID, Parts, Photographs, read_part


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Prepares the data of trials in a folder; what is there already is read.

    Attributes:
        folder: Folder of everything that is made.
        data: Folder of photographs with fixations.
        parts: Sizes of the parts.
        weights: Weights of the frozen encoder.
        editor: Name of the editor, as in ``SaliencyEditor.from_pretrained``.
        predictor: Name of the predictor, as in ``SaliencyPredictor.from_pretrained``.
    """

    folder: Path
    data: Path
    parts: Parts
    weights: ImageNetWeights
    editor: str
    predictor: str

    def photographs(self, part: str) -> Photographs:
        """The photographs of a part."""
        path = self.folder / f"{part}.safetensors"
        if not path.exists():
            read = read_part(self.data, part, self.parts, partial(progress_bar, desc=part))
            tensors = {name: value for name, value in vars(read).items() if name != "names"}
            _write(path, tensors, {"names": json.dumps(read.names)})
        with safe_open(path, "pt") as file:
            names = json.loads(file.metadata()["names"])
        return Photographs(names=names, **load_file(path))

    def features(self, name: str, images: Callable[[], Tensor]) -> Features:
        """The frozen features of images, from the file of this name or computed now."""
        path = self.folder / "features" / f"{name}.safetensors"
        if not path.exists():
            network: nn.Module = self.weights.build().to(memory_format=torch.channels_last)
            _write(path, {str(n): maps for n, maps in enumerate(compute_features(network, images()))}, {})
        stored = load_file(path)
        return [stored[str(n)] for n in range(len(stored))]

    def training(self, photographs: Photographs, sources: set[str], mirrored: bool, pairs: bool) -> TrainingFeatures:
        """Everything that trainings need.

        Args:
            photographs: The training photographs.
            sources: The edits that are wanted, as in ``PhotographVariant.source``.
            mirrored: Whether mirrored edits are wanted.
            pairs: Whether maps of the edited images are wanted.
        """
        images = photographs.images
        plain = self.features("training", lambda: images)
        flipped = self.features("training_mirrored", lambda: images.flip(-1))
        edits = self._edits(photographs, sources, mirrored, pairs) if sources else {}
        return TrainingFeatures(plain=plain, mirrored=flipped, saliency_maps=photographs.saliency_maps, edits=edits)

    def _edits(
        self, photographs: Photographs, sources: set[str], mirrored: bool, pairs: bool
    ) -> dict[str, EditFeatures]:
        with progress_bar(total=len(photographs.names), desc="edits") as bar:
            open_editor = partial(SaliencyEditor.from_pretrained, self.editor)
            write_edits(self.folder / "edits", photographs, open_editor, bar.update)
        edits = PhotographEdits.read(self.folder / "edits")
        if not edits.kinds:
            raise ValueError("The editor changed none of the photographs, so there is nothing to compare.")
        count, everything = len(photographs.names), torch.ones(len(edits.kinds), dtype=torch.bool)
        gains, maps = self._predicted(photographs, edits) if "gated" in sources or pairs else (None, None)
        shared = EditFeatures(
            rows=_rows(edits, count, everything),
            plain=self._of_edits("edits", edits.images),
            mirrored=self._of_edits("edits_mirrored", edits.images.flip(-1)) if mirrored else None,
            edit_masks=F.adaptive_avg_pool2d(edits.edit_masks.float() / 255, GRID),
            saliency_maps=maps,
        )
        by_source = {"editor": shared}
        if gains is not None:
            by_source["gated"] = EditFeatures(**{**vars(shared), "rows": _rows(edits, count, gains > 0)})
        if "plain pixels" in sources:
            features = self._of_edits("edits_in_plain_pixels", edits.plain_images)
            by_source["plain pixels"] = EditFeatures(**{**vars(shared), "plain": features, "mirrored": None})
        return by_source

    def _of_edits(self, name: str, images: Tensor) -> Features:
        """The features of edits, in files that each took about as long as those of the photographs."""
        parts = [
            self.features(f"{name}-{n:03d}", lambda chunk=chunk: chunk)  # type: ignore[misc]
            for n, chunk in enumerate(progress_bar(images.split(10 * CHUNK), desc=name))
        ]
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]

    def _predicted(self, photographs: Photographs, edits: PhotographEdits) -> tuple[Tensor, Tensor]:
        """The rise of each edit by the predictor, (K,), and the map of each edited image, (K, 1, h, w)."""
        path = self.folder / "predicted.safetensors"
        if not path.exists():
            predictor = SaliencyPredictor.from_pretrained(self.predictor)
            originals = _predict(predictor, photographs.images, "originals")[edits.photographs]
            after = _predict(predictor, edits.images, "edited images")
            masks = edits.edit_masks.float() / 255
            grids = [F.adaptive_avg_pool2d(x, GRID) for x in (originals, after, masks)]
            maps = reweight_saliency_map(photographs.saliency_maps[edits.photographs], *grids)
            _write(path, {"rises": rises(originals, after, masks), "saliency_maps": maps}, {})
        stored = load_file(path)
        return stored["rises"], stored["saliency_maps"]


def _predict(predictor: SaliencyPredictor, images: Tensor, what: str) -> Tensor:
    chunks = progress_bar(images.split(CHUNK), desc=f"predictions of {what}")
    return torch.stack([one.float() for chunk in chunks for one in predictor.predict(chunk)])


def _rows(edits: PhotographEdits, count: int, wanted: Tensor) -> list[dict[str, list[int]]]:
    """For each photograph the rows of its wanted edits by kind."""
    rows: list[dict[str, list[int]]] = [{} for _ in range(count)]
    for row in wanted.nonzero()[:, 0].tolist():
        rows[int(edits.photographs[row])].setdefault(edits.kinds[row], []).append(row)
    return rows


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))
