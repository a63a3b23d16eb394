"""SaliencyDiffusionAugment, the one line in a Compose, and AugmentedDataset for image-only pipelines."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import Brightness, Color, Contrast, Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.randomness import keyed_generator, pixel_hash
from augsal_transforms.tv_tensors import EditMask, SaliencyMap

_PICTURES = {
    "image": tv_tensors.Image,
    "edited_image": tv_tensors.Image,
    "saliency_map": SaliencyMap,
    "edit_mask": EditMask,
}
_LONE_IMAGE = (
    "SaliencyDiffusionAugment needs an image with its saliency map: a dict with 'image' and 'saliency_map', or an "
    "(image, saliency_map) tuple, got {}. For a pipeline that transforms the image alone, wrap the data set: "
    "AugmentedDataset(dataset, augment, image_transform=..., saliency_transform=...)."
)


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

    Args:
        editor: ``"bundled"``, ``"sd-v1-5"``, a folder, a hub id, or a ``SaliencyEditor``.
        p: Chance that a sample is edited, as in torchvision. The paper's p (Sec. 5.3) is 1 − p.
        edits: The kinds to choose from, uniformly, each with its strength or range of strengths.
        seed: Seeds the draws; ``None`` follows torch's seed, which differs between workers, without
            consuming from it.
        on_error: ``"keep"`` returns a sample that cannot be edited unedited, counted in ``counts`` and
            warned of once per cause; ``"raise"`` raises. What is wrong with the pipeline or the editor
            rather than with a sample is raised in any case.

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
        editor: str | Path | SaliencyEditor,
        p: float = 0.5,
        edits: Sequence[Edit] = (Contrast(), Brightness(), Color()),
        seed: int | None = None,
        on_error: Literal["keep", "raise"] = "keep",
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"`p` must lie in [0, 1], got {p!r}.")
        if not edits or not all(isinstance(edit, Edit) for edit in edits):
            raise TypeError(f"`edits` must hold at least one of Contrast, Brightness, Color, got {edits!r}.")
        if on_error not in ("keep", "raise"):
            raise ValueError(f"`on_error` must be 'keep' or 'raise', got {on_error!r}.")
        self.p, self.edits, self.seed, self.on_error = p, tuple(edits), seed, on_error
        self.counts: Counter[str] = Counter()
        if not isinstance(editor, (str, Path, SaliencyEditor)):
            raise TypeError(f"`editor` must be a name, a folder or a SaliencyEditor, got {type(editor).__name__}.")
        self._editor = str(editor) if isinstance(editor, Path) else editor
        self._calls = 0
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # persistent workers see it change

    def extra_repr(self) -> str:
        """Shown by ``print``."""
        name = self._editor if isinstance(self._editor, str) else self._editor.name
        return f"editor={name!r}, p={self.p}, edits={self.edits}, seed={self.seed}, on_error={self.on_error!r}"

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of an epoch, in every worker; with a seed, epochs repeat unless this is called."""
        self._epoch.fill_(epoch)

    @property
    def editor(self) -> SaliencyEditor:
        """The editor, loaded when it is first needed."""
        if isinstance(self._editor, str):
            self._editor = SaliencyEditor.from_pretrained(self._editor)
        check_worker(self._editor.model.device, torch.cuda._is_in_bad_fork())
        return self._editor

    def forward(self, *inputs: Any) -> Any:
        """Augment one sample."""
        sample = inputs[0] if len(inputs) == 1 else inputs
        if isinstance(sample, Mapping):
            return {**sample, **self._augment(sample)}
        if isinstance(sample, (tuple, list)) and len(sample) >= 2 and _is_picture(sample[0]) and _is_picture(sample[1]):
            added = self._augment({"image": sample[0], "saliency_map": sample[1]})
            pair = (added.pop("image"), added.pop("saliency_map"))
            return type(sample)((*pair, *sample[2:], added))
        raise TypeError(_LONE_IMAGE.format(type(sample).__name__))

    def batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Augment a collated batch where the editor is, in one go: on the GPU, after the loader.

        Args:
            batch: ``image`` (B, 3, H, W), ``saliency_map`` (B, 1, H, W) and, optionally, ``prompt`` and
                ``image_id`` (lists or tensors of length B), before Normalize.

        Returns:
            The batch with the same keys as a sample, each of length B, the pictures on the images' device.
        """
        missing = {"image", "saliency_map"} - set(batch)
        if missing:
            raise TypeError(f"`batch` must have 'image' and 'saliency_map', lacks {', '.join(sorted(missing))}.")
        optional = [key for key in ("prompt", "image_id") if key in batch]
        images, device = batch["image"], batch["image"].device
        rows = [{key: batch[key][n] for key in ("image", "saliency_map", *optional)} for n in range(len(images))]
        added = torch.utils.data.default_collate(self._augment_all(rows))
        moved = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in added.items()}
        # Collation drops the types by which later v2 transforms know what to do with a picture.
        return {**batch, **{key: _PICTURES[key](value) if key in _PICTURES else value for key, value in moved.items()}}

    def _augment(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        if "image" not in sample or "saliency_map" not in sample:
            raise TypeError(_LONE_IMAGE.format(f"a dict with the keys {sorted(map(str, sample))}"))
        return self._augment_all([sample])[0]

    def _augment_all(self, samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Leaves for each sample; the samples that an edit is drawn for go through the editor together."""
        images = [to_rgb_image(sample["image"]) for sample in samples]
        leaves, jobs = [], []
        for sample, image in zip(samples, images, strict=True):
            saliency_map, cause = _read_map(sample["saliency_map"], image)
            leaves.append(_unedited_leaves(image, saliency_map))
            edit, seed = self._draw(_image_id(sample, image))
            if cause:
                self._keep(cause)
            elif edit is None or edit.is_null:
                self.counts["by chance"] += 1
            elif not saliency_map.any():
                self._keep("`saliency_map` is all zeros.")
            else:
                jobs.append((leaves[-1], _caption(sample), edit, seed))
        if jobs:
            self._edit(jobs)
        return leaves

    def _draw(self, image_id: str) -> tuple[Edit | None, int]:
        """The edit of a sample, or ``None``, and the seed of its pixels."""
        if self.seed is None:
            self._calls += 1
            generator = keyed_generator(torch.initial_seed(), self._epoch.item(), self._calls, image_id)
        else:
            generator = keyed_generator(self.seed, self._epoch.item(), image_id)
        if torch.rand((), generator=generator).item() >= self.p:
            return None, 0
        kind = self.edits[int(torch.randint(len(self.edits), (), generator=generator))]
        return kind.draw(generator), int(torch.randint(2**31, (), generator=generator))

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
            if result.is_edited:
                self.counts["edited"] += 1
                leaves.update(_edited_leaves(result))
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


class AugmentedDataset(Dataset[dict[str, Any]]):
    """A data set whose pipeline transforms the image alone, augmented before that pipeline.

    Both images see the same random draws of ``image_transform``, both maps those of
    ``saliency_transform``: torch's, numpy's and Python's generators are replayed.

    Args:
        dataset: Raw samples: dicts with ``image`` and ``saliency_map``, or tuples that begin with them; what
            else a tuple holds is handed on as ``rest``.
        augment: The augmentation.
        image_transform: Applied to ``image`` and ``edited_image``, both given as RGB in the kind (PIL,
            array or tensor) that ``dataset`` gives.
        saliency_transform: Applied to ``saliency_map``, given as it is, and to ``edit_mask``, given in the
            same kind and range (16 bits for 16-bit maps).
    """

    def __init__(
        self,
        dataset: Any,
        augment: SaliencyDiffusionAugment,
        *,
        image_transform: Callable[[Any], Any] | None = None,
        saliency_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self.dataset, self.augment = dataset, augment
        self.image_transform, self.saliency_transform = image_transform, saliency_transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        raw = self.dataset[index]
        if isinstance(raw, (tuple, list)):
            raw = {"image": raw[0], "saliency_map": raw[1], **({"rest": tuple(raw[2:])} if len(raw) > 2 else {})}
        sample: dict[str, Any] = self.augment({"image_id": index, **raw})
        for keys, transform, like in (
            (("image", "edited_image"), self.image_transform, raw["image"]),
            (("saliency_map", "edit_mask"), self.saliency_transform, raw["saliency_map"]),
        ):
            if transform is None:
                continue
            state = _random_state()
            for key in keys:
                with _replayed(state, keep=key == keys[0]):
                    sample[key] = transform(like if key == "saliency_map" else _as_given(sample[key], like))
        return sample


def _as_given(picture: Tensor, like: Any) -> Any:
    """A picture in the kind and range of the one a data set gave."""
    if isinstance(like, PIL.Image.Image):
        if like.mode.startswith("I"):
            return PIL.Image.fromarray((picture[0] * 65535).round().numpy().astype(np.uint16))
        return functional.to_pil_image(picture)
    integer = not (like.dtype.is_floating_point if isinstance(like, Tensor) else like.dtype.kind == "f")
    if picture.is_floating_point() and (integer or like.max() > 1):
        eight_bits = like.dtype in (np.uint8, torch.uint8) or not integer
        picture = picture * (255 if eight_bits else 65535)
    picture = (picture.round() if integer else picture).as_subclass(Tensor)
    if isinstance(like, Tensor):
        return picture.to(like.dtype)
    array = picture.numpy().astype(like.dtype)
    return array[0] if like.ndim == 2 and len(array) == 1 else np.moveaxis(array, 0, -1)


def _random_state() -> tuple[Any, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


@contextmanager
def _replayed(state: tuple[Any, Any, Any], *, keep: bool) -> Iterator[None]:
    """Run from a random state; go on from where the block leaves it, or from where it was before."""
    before = _random_state()
    _restore(state)
    try:
        yield
    finally:
        if not keep:
            _restore(before)


def _restore(state: tuple[Any, Any, Any]) -> None:
    torch.set_rng_state(state[0])
    np.random.set_state(state[1])
    random.setstate(state[2])


def _read_map(saliency_map: Any, image: Tensor) -> tuple[SaliencyMap, str]:
    """The map as a tensor; where its values are no map, zeros and what is wrong with them."""
    size = (image.shape[-2], image.shape[-1])
    try:
        return SaliencyMap(to_saliency_map(saliency_map, size).to(image.device)), ""
    except ValueError as error:
        return SaliencyMap(torch.zeros(1, *size, device=image.device)), str(error)


def _is_picture(value: Any) -> bool:
    return isinstance(value, (PIL.Image.Image, np.ndarray)) or (isinstance(value, Tensor) and value.ndim >= 2)


def _image_id(sample: Mapping[str, Any], image: Tensor) -> str:
    image_id = sample.get("image_id")
    if image_id is None:
        return pixel_hash(image)
    return str(image_id.item() if isinstance(image_id, Tensor) else image_id)


def _caption(sample: Mapping[str, Any]) -> str:
    return str(sample.get("prompt") or "")


def _unedited_leaves(image: tv_tensors.Image, saliency_map: SaliencyMap) -> dict[str, Any]:
    return {
        "image": image,
        "saliency_map": saliency_map,
        "edited_image": tv_tensors.Image(image.clone()),
        "edit_mask": EditMask(torch.zeros(1, *image.shape[-2:], device=image.device)),
        "is_edited": torch.tensor(False),
        "edit_kind": "none",
        "edit_alpha": 0.0,
        "edit_word": "",
    }


def _edited_leaves(result: EditedImage) -> dict[str, Any]:
    return {
        "edited_image": tv_tensors.Image(result.image),
        "edit_mask": EditMask(result.edit_mask),
        "is_edited": torch.tensor(True),
        "edit_kind": result.kind,
        "edit_alpha": result.alpha,
        "edit_word": result.word,
    }
