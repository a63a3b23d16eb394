"""SaliencyDiffusionAugment, the one line in a Compose."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.transforms import v2

from augsal_transforms.data.images import to_rgb_image
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import DEFAULT_EDITS, Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.randomness import keyed_generator
from augsal_transforms.readouts.predictor import SaliencyPredictor
from augsal_transforms.sample import (
    PICTURES,
    edited_leaves,
    is_picture,
    read_caption,
    read_image_id,
    read_map,
    unedited_leaves,
)
from augsal_transforms.store.store import EditStore
from augsal_transforms.store.stored import draw_stored

_LONE_IMAGE = (
    "SaliencyDiffusionAugment needs an image with its saliency map: a dict with 'image' and 'saliency_map', or an "
    "(image, saliency_map) tuple, got {}. For a pipeline that transforms the image alone, wrap the data set: "
    "AugmentedDataset(dataset, augment, image_transform=..., saliency_transform=...)."
)
_EMPTY_MAP = "`saliency_map` is all zeros."


class SaliencyDiffusionAugment(v2.Transform):
    """Add an edited copy of the image to a sample: what to see changed, and by how much is recorded (Sec. 5.3).

    Put it first in the Compose. In: a dict with ``image``, ``saliency_map`` and, optionally, ``prompt``
    and ``image_id``; or an ``(image, saliency_map)`` tuple, to which one dict is appended. Out, edited or
    not: ``image`` (always the original) and ``saliency_map`` as tensors, and

    - ``edited_image``: ``tv_tensors.Image``, equal to ``image`` where nothing was edited;
    - ``edit_mask``: ``EditMask`` (1, H, W) float32 in [0, 1], zeros where nothing was edited;
    - ``is_edited``: bool tensor (); ``edit_kind``, ``edit_alpha``, ``edit_word``: what was done.

    Kind and strength come from a private generator, so no other transform's draws move. With a ``seed`` it
    is keyed on (seed, epoch, image id): the same for any number of workers; call ``set_epoch`` once an epoch.

    Give exactly one of ``editor``, which edits as samples come, and ``store``, from which edits made before
    are read: no diffusion library is imported, and any number of workers can.

    Args:
        editor: ``"bundled"``, ``"sd-v1-5"``, a folder, a hub id, or a ``SaliencyEditor``.
        store: An ``EditStore`` or its folder. Kind, then strength, are drawn uniformly from what it holds
            for the image; an image that it holds nothing for is kept unedited, and counted.
        p: Chance that a sample is edited, as in torchvision. The paper's p (Sec. 5.3) is 1 − p.
        edits: The kinds to choose from, uniformly, each with its strength or range of strengths; ``None``:
            all three with an editor. A store's edits were chosen when it was filled.
        seed: Seeds the draws; ``None`` follows torch's seed, which differs between workers, without
            consuming from it.
        on_error: ``"keep"`` returns a sample that cannot be edited unedited, counted in ``counts`` and
            warned of once per cause; ``"raise"`` raises. What is wrong with the pipeline or the editor
            rather than with a sample is raised in any case.
        predictor: A ``SaliencyPredictor``: a dict without a ``saliency_map`` gets its map, and every sample
            another key, ``is_predicted`` (bool tensor ()), that says whether it did.

    Attributes:
        counts: How many samples were edited, left as they are by chance, and kept, by cause. In a
            worker process it counts that worker's samples.

    Raises:
        TypeError: For a lone image, where the augmentation could only be a silent no-op.
        RuntimeError: For a CUDA editor in a forked worker.
    """

    def __init__(
        self,
        *,
        editor: str | Path | SaliencyEditor | None = None,
        store: str | Path | EditStore | None = None,
        p: float = 0.5,
        edits: Sequence[Edit] | None = None,
        seed: int | None = None,
        on_error: Literal["keep", "raise"] = "keep",
        predictor: SaliencyPredictor | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"`p` must lie in [0, 1], got {p!r}.")
        if (editor is None) == (store is None):
            raise TypeError("Give exactly one of `editor` and `store`: edits are either made now or were made before.")
        if store is not None and edits is not None:
            raise TypeError("`edits` goes with `editor`; a store's kinds and strengths are those it was filled with.")
        edits = DEFAULT_EDITS if edits is None else edits
        if not edits or not all(isinstance(edit, Edit) for edit in edits):
            raise TypeError(f"`edits` must hold at least one of Contrast, Brightness, Color, got {edits!r}.")
        if on_error not in ("keep", "raise"):
            raise ValueError(f"`on_error` must be 'keep' or 'raise', got {on_error!r}.")
        self.p, self.edits, self.seed, self.on_error = p, tuple(edits), seed, on_error
        self.counts: Counter[str] = Counter()
        if not isinstance(editor, (str, Path, SaliencyEditor, type(None))):
            raise TypeError(f"`editor` must be a name, a folder or a SaliencyEditor, got {type(editor).__name__}.")
        if not isinstance(store, (str, Path, EditStore, type(None))):
            raise TypeError(f"`store` must be a folder or an EditStore, got {type(store).__name__}.")
        self._store = EditStore(store, readonly=True) if isinstance(store, (str, Path)) else store
        if not isinstance(predictor, (SaliencyPredictor, type(None))):
            raise TypeError(f"`predictor` must be a SaliencyPredictor, got {type(predictor).__name__}.")
        self.predictor = predictor
        self._editor = str(editor) if isinstance(editor, Path) else editor
        self._calls = 0
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # persistent workers see it change

    def extra_repr(self) -> str:
        """Shown by ``print``."""
        rest = f"seed={self.seed}, on_error={self.on_error!r}"
        if self._store is not None:
            return f"store={str(self._store.folder)!r}, p={self.p}, {rest}"
        name = self._editor.name if isinstance(self._editor, SaliencyEditor) else self._editor
        return f"editor={name!r}, p={self.p}, edits={self.edits}, {rest}"

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of an epoch, in every worker; with a seed, epochs repeat unless this is called."""
        self._epoch.fill_(epoch)

    @property
    def editor(self) -> SaliencyEditor:
        """The editor, loaded when it is first needed.

        Raises:
            AttributeError: If edits come from a store.
        """
        if self._editor is None:
            raise AttributeError("This augmentation reads its edits from a store and has no editor.")
        if isinstance(self._editor, str):
            self._editor = SaliencyEditor.from_pretrained(self._editor)
        check_worker(self._editor.model.device, torch.cuda._is_in_bad_fork())
        return self._editor

    def forward(self, *inputs: Any) -> Any:
        """Augment one sample."""
        sample = inputs[0] if len(inputs) == 1 else inputs
        if isinstance(sample, Mapping):
            if self._lacking(sample):
                raise TypeError(_LONE_IMAGE.format(f"a dict with the keys {sorted(map(str, sample))}"))
            return {**sample, **self._augment([sample])[0]}
        if isinstance(sample, (tuple, list)) and len(sample) >= 2 and is_picture(sample[0]) and is_picture(sample[1]):
            (added,) = self._augment([{"image": sample[0], "saliency_map": sample[1]}])
            pair = (added.pop("image"), added.pop("saliency_map"))
            return type(sample)((*pair, *sample[2:], added))
        raise TypeError(_LONE_IMAGE.format(type(sample).__name__))

    def batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Augment a collated batch where the editor is, in one go: on the GPU, after the loader.

        Args:
            batch: ``image`` (B, 3, H, W), ``saliency_map`` (B, 1, H, W) and, optionally, ``prompt`` and
                ``image_id`` (lists or tensors of length B), before Normalize. With a ``predictor`` a batch
                without maps gets them from it.

        Returns:
            The batch with the same keys as a sample, each of length B, the pictures on the images' device.
        """
        if lacking := self._lacking(batch):
            raise TypeError(f"`batch` must have 'image' and 'saliency_map', lacks {', '.join(lacking)}.")
        keys = [key for key in ("image", "saliency_map", "prompt", "image_id") if key in batch]
        device, rows = batch["image"].device, [{key: batch[key][n] for key in keys} for n in range(len(batch["image"]))]
        added = torch.utils.data.default_collate(self._augment(rows))
        moved = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in added.items()}
        # Collation drops the types by which later v2 transforms know what to do with a picture.
        return {**batch, **{key: PICTURES[key](value) if key in PICTURES else value for key, value in moved.items()}}

    def _lacking(self, sample: Mapping[str, Any]) -> list[str]:
        needed = ["image"] if self.predictor else ["image", "saliency_map"]
        return [key for key in needed if key not in sample]

    def _augment(self, samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Leaves for each sample; those that a map or an edit is made for go through the networks together."""
        images = [to_rgb_image(sample["image"]) for sample in samples]
        predicted = self._predict(samples, images)
        leaves, jobs = [], []
        for n, (sample, image) in enumerate(zip(samples, images, strict=True)):
            saliency_map, cause = read_map(predicted[n] if n in predicted else sample["saliency_map"], image)
            leaves.append(unedited_leaves(image, saliency_map))
            if self.predictor:
                leaves[-1]["is_predicted"] = torch.tensor(n in predicted)
            if self._store is not None:
                self._read(self._store, leaves[-1], cause, read_image_id(sample, image))
                continue
            edit, seed = self._draw(read_image_id(sample, image))
            if cause:
                self._keep(cause)
            elif edit is None or edit.is_null:
                self.counts["by chance"] += 1
            elif not saliency_map.max():
                self._keep(_EMPTY_MAP)
            else:
                jobs.append((leaves[-1], read_caption(sample), edit, seed))
        if jobs:
            self._edit(jobs)
        return leaves

    def _predict(self, samples: Sequence[Mapping[str, Any]], images: Sequence[Tensor]) -> dict[int, Tensor]:
        """The predictor's maps of the samples that have none, by their place."""
        lacking = [n for n, sample in enumerate(samples) if "saliency_map" not in sample]
        if self.predictor is None or not lacking:
            return {}
        check_worker(self.predictor.model.device, torch.cuda._is_in_bad_fork())
        self.counts["map predicted"] += len(lacking)
        return dict(zip(lacking, self.predictor.predict([images[n].as_subclass(Tensor) for n in lacking]), strict=True))

    def _draw(self, image_id: str) -> tuple[Edit | None, int]:
        """The edit of a sample, or ``None``, and the seed of its pixels."""
        generator = self._generator(image_id)
        if torch.rand((), generator=generator).item() >= self.p:
            return None, 0
        kind = self.edits[int(torch.randint(len(self.edits), (), generator=generator))]
        return kind.draw(generator), int(torch.randint(2**31, (), generator=generator))

    def _generator(self, image_id: str) -> torch.Generator:
        if self.seed is None:
            self._calls += 1
            return keyed_generator(torch.initial_seed(), self._epoch.item(), self._calls, image_id)
        return keyed_generator(self.seed, self._epoch.item(), image_id)

    def _read(self, store: EditStore, leaves: dict[str, Any], cause: str, image_id: str) -> None:
        """Take one of the edits that a store holds for a sample, in place; what has none is kept and counted."""
        generator = self._generator(image_id)
        if cause:
            self._keep(cause)
        elif torch.rand((), generator=generator).item() >= self.p:
            self.counts["by chance"] += 1
        elif not leaves["saliency_map"].max():
            self._keep(_EMPTY_MAP)
        else:
            drawn = draw_stored(store, leaves["image"].as_subclass(Tensor), generator)
            if isinstance(drawn, str):
                self._keep(drawn)
            else:
                self._take(leaves, drawn)

    def _edit(self, jobs: list[tuple[dict[str, Any], str, Edit, int]]) -> None:
        """Edit the samples drawn for it, in place; those that cannot be are kept and counted."""
        editor = self.editor  # a worker that must not run it is told so, whatever `on_error` says
        try:
            results: list[EditedImage] = editor.edit(
                [leaves["image"].as_subclass(Tensor) for leaves, *_ in jobs],
                [leaves["saliency_map"].as_subclass(Tensor) for leaves, *_ in jobs],
                [caption for _, caption, *_ in jobs],
                [edit for *_, edit, _ in jobs],
                seed=[seed for *_, seed in jobs],
            )
        except (ValueError, FloatingPointError) as error:
            results, cause = [], f"the editor failed: {error}"
        if not results and len(jobs) > 1:  # one bad sample costs one sample
            for job in jobs:
                self._edit([job])
            return
        if not results:
            self._keep(cause)
            return
        for (leaves, *_), result in zip(jobs, results, strict=True):
            self._take(leaves, result)

    def _take(self, leaves: dict[str, Any], result: EditedImage) -> None:
        if result.is_edited:
            self.counts["edited"] += 1
            leaves.update(edited_leaves(result))
        else:
            self._keep("nothing to edit: no word's attention meets the saliency map.")

    def _keep(self, cause: str) -> None:
        if self.on_error == "raise":
            raise ValueError(f"A sample cannot be edited: {cause}")
        if not self.counts[cause]:
            warnings.warn(
                f"A sample is kept unedited: {cause} More of the kind are only counted, in `counts`.", stacklevel=2
            )
        self.counts[cause] += 1


def check_worker(device: torch.device, in_bad_fork: bool) -> None:
    """Refuse to run a CUDA editor in a forked worker, where CUDA cannot be initialised again."""
    if device.type == "cuda" and in_bad_fork:
        raise RuntimeError(
            "The editor is on CUDA and this is a forked data loader worker. Fill a store once and read edits from it, "
            "or call `augment.batch(batch)` on the GPU after collation, or use `num_workers=0`."
        )
