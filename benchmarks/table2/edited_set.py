"""Edited scenes for small trainings: a frozen encoder's features, the observer's maps and a predictor's maps.

The encoder is not trained, so its features are computed once and kept in a file. A training then takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.files import write_file
from augsal_transforms.progress import progress_bar
from augsal_transforms.readouts.predictor import SaliencyPredictor
from augsal_transforms.scenes.observer import fixation_density
from augsal_transforms.scenes.scenes import render_scene
from augsal_transforms.store.store import EditStore
from table2.training_set import read_edits
from table2.trial import normalise


@dataclass(frozen=True)
class EditedSet:
    """N originals and their E edits, float16; rows of originals come first, then those of edits, scene by scene.

    Attributes:
        fine: Features at stride 4, (N + E, C, h, w).
        middle: Features at stride 8.
        coarse: Features at stride 16.
        coarsest: Features at stride 32.
        saliency_maps: Maps of the originals' fixations, (N, 1, H, W), in [0, 1].
        densities: The observer's density for every image, (N + E, 1, H, W), scaled to a maximum of 1.
        predictions: A predictor's map for every image, shaped like ``densities``; no row where there is no predictor.
        edit_masks: Masks of the edits, (E, 1, H, W).
        scenes: The row of each edit's original, (E,).
    """

    fine: Tensor
    middle: Tensor
    coarse: Tensor
    coarsest: Tensor
    saliency_maps: Tensor
    densities: Tensor
    predictions: Tensor
    edit_masks: Tensor
    scenes: Tensor

    @property
    def features(self) -> list[Tensor]:
        """Features from fine to coarse."""
        return [self.fine, self.middle, self.coarse, self.coarsest]

    @property
    def true_maps(self) -> Tensor:
        """The original's map times the ratio of the observer's densities, (E, 1, H, W), a maximum of 1 each."""
        originals = len(self.saliency_maps)
        before = self.densities[:originals].float()[self.scenes]
        changed = self.saliency_maps.float()[self.scenes] * self.densities[originals:].float() / before
        return changed / changed.amax((1, 2, 3), keepdim=True)

    def part(self, first: int, last: int) -> EditedSet:
        """The originals from ``first`` to ``last`` (excluded) with their edits."""
        chosen = (self.scenes >= first) & (self.scenes < last)
        edited_rows = len(self.saliency_maps) + chosen.nonzero()[:, 0]
        rows = torch.cat([torch.arange(first, last), edited_rows])
        by_image = ("fine", "middle", "coarse", "coarsest", "densities", "predictions")
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in by_image if len(getattr(self, name))},
            saliency_maps=self.saliency_maps[first:last],
            edit_masks=self.edit_masks[chosen],
            scenes=self.scenes[chosen] - first,
        )


@torch.no_grad()
def read_edited_set(
    data: SaliencyFolder,
    store: EditStore,
    series: int,
    start: int,
    encoder: nn.Module,
    predictor: SaliencyPredictor | None,
) -> EditedSet:
    """Compute everything that the trainings need of scenes and their edits.

    Args:
        data: Scenes as written by ``write_scenes`` for ``"train"``.
        store: Edits of these scenes.
        series: Series of the scenes.
        start: Index of the first scene.
        encoder: Function of normalised images (B, 3, H, W) that returns features at strides 4, 8, 16 and 32.
        predictor: Predictor of maps; ``None`` where none are needed.
    """
    originals, edited = [], []
    for number in progress_bar(range(len(data)), desc="features"):
        image = to_rgb_image(data[number]["image"]).as_subclass(Tensor)
        size = (image.shape[-2], image.shape[-1])
        edits = list(read_edits(store, image))
        images = torch.stack([image, *(picture for _, picture, _ in edits)])
        objects = render_scene(start + number, series, size[0]).objects
        densities = torch.stack([fixation_density(picture, objects) for picture in images])
        predictions = torch.stack(predictor.predict(images)) if predictor else torch.zeros(len(images), 0)
        rows = [*encoder(normalise(images)), densities / densities.amax((1, 2, 3), keepdim=True), predictions]
        originals.append([x[:1].half() for x in rows])
        edited.append([x[1:].half() for x in rows])
        originals[-1].append(to_saliency_map(data[number]["saliency_map"], size).as_subclass(Tensor)[None].half())
        masks = [edit_mask.as_subclass(Tensor) for *_, edit_mask in edits]
        edited[-1] += [torch.stack(masks).half(), torch.full((len(edits),), number)]
    *before, saliency_maps = (torch.cat(column) for column in zip(*originals, strict=True))
    *after, edit_masks, scenes = (torch.cat(column) for column in zip(*edited, strict=True))
    *features, densities, predictions = (torch.cat(both) for both in zip(before, after, strict=True))
    return EditedSet(*features, saliency_maps, densities, predictions, edit_masks, scenes)


def keep_edited_set(path: Path, read: Callable[[], EditedSet]) -> EditedSet:
    """Read an edited set from a file; it is computed and written if the file does not exist."""
    if not path.exists():
        computed = read()
        write_file(path, save({f.name: getattr(computed, f.name).contiguous() for f in fields(EditedSet)}))
    return EditedSet(**load_file(path))


def edits_by_scene(data: EditedSet) -> Sequence[Tensor]:
    """The edits of each original, as indices into ``edit_masks``."""
    return [(data.scenes == number).nonzero()[:, 0] for number in range(len(data.saliency_maps))]
