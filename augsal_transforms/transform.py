"""SaliencyDiffusionAugment, the one line in a Compose: one coin toss, then an edit from the editor or the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.transforms import v2

from augsal_transforms.annotation_pairs import add_edited_maps
from augsal_transforms.augmented_sample import AugmentedSample
from augsal_transforms.edit_sources import EMPTY_MAP, ChosenSample, LiveEdits, Unedited, check_worker, open_source
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.editor.saliency_gate import SaliencyGate
from augsal_transforms.preview import preview as draw_preview
from augsal_transforms.randomness import check_chance, check_integer, draw_share, keyed_generator
from augsal_transforms.readouts.contract import PredictsSaliency, check_predictor, device_of, predict_maps
from augsal_transforms.sample import (
    PICTURES,
    edited_leaves,
    is_picture,
    read_caption,
    read_image,
    read_image_id,
    read_map,
    split_batch,
    unedited_leaves,
)
from augsal_transforms.sample_keys import LONE_IMAGE, SampleKeys, describe_sample
from augsal_transforms.sharing import OwnLock, SharedNumbers, Tally
from augsal_transforms.store.store import EditStore


class SaliencyDiffusionAugment(v2.Transform):
    """Add a copy of the image with one salient region edited to a sample, and record the edit (Sec. 5.3).

    Put it first in the Compose. In: a dict with ``image``, ``saliency_map`` and, optionally, ``prompt`` and
    ``image_id``; or an ``(image, saliency_map)`` tuple, to which one dict is appended. Out, edited or not: ``image``
    (always the original) and ``saliency_map`` as tensors, and

    - ``edited_image``: ``tv_tensors.Image``, equal to ``image`` where nothing was edited;
    - ``edit_mask``: ``EditMask`` (1, H, W) float32 in [0, 1], zeros where nothing was edited; ``is_edited``: bool ();
    - ``edit_kind``, ``edit_color``, ``edit_word``: str, ``"none"``, ``""`` and ``""`` where nothing was edited;
    - ``edit_alpha``, ``edit_strength``: float32 tensors (), α as asked for and the part of it in [0, 1] that was
      allowed; both 0 where nothing was edited.

    Kind and α come from a private generator, so no other transform's draws move. With a ``seed`` it is keyed on
    (seed, epoch, image id): the same for any number of workers and threads; call ``set_epoch`` once an epoch.

    ``RandAugment``, ``AutoAugment``, ``TrivialAugmentWide`` and ``AugMix`` refuse such a sample: they would move images
    without maps. Use the v2 transforms that they choose from, such as ``v2.ColorJitter`` and ``v2.RandomAffine``.

    Args:
        editor: ``"bundled"``, ``"sd-v1-5"``, a folder, a hub id, or a ``SaliencyEditor``, which edits as samples come.
        store: An ``EditStore`` or its folder, with edits made before, for any number of workers; give it or ``editor``.
            Kind, then α, are drawn uniformly from an image's edits; an image without one stays unedited, and counts.
        p: Chance that a sample is edited, in [0, 1], as in torchvision. The paper's p (Sec. 5.3) is 1 − p.
        edits: Kinds to choose from, uniformly, each with its α or range of α, for ``editor`` alone; ``None``: all.
        seed: Seed of the draws; ``None`` follows torch's seed, which differs by worker, without drawing from it.
        on_error: ``"keep"`` returns a sample whose edit fails unedited, counted in ``counts`` and warned of once per
            cause; ``"raise"`` raises. Always raised are a map or an image that cannot be read, because nothing may
            stand in for a target; errors of the pipeline or the system; and a run whose first 200 edits all fail.
        predictor: A ``SaliencyPredictor``, or a model of yours with its ``predict``. A dict without a map gets its map,
            and every sample one more key, ``is_predicted`` (bool tensor ()), that is true for such a map.
        pairs: Whether samples gain ``edited_saliency_map``, a ``SaliencyMap`` for the edited image (Sec. 1):
            ``saliency_map`` reweighted inside the mask by the predictor's change. It takes two predictions a sample.
        saliency_gate: Keeps an edit only if it raises the predicted saliency of its region, of candidates of all kinds
            in turn; ``edits=None`` is then mild red and yellow. For ``editor`` alone; `augsal generate` has one too.
        keys: A sample's names of what is read, as ``{"image": "img", "prompt": "caption"}``; positions in tuples.

    Attributes:
        counts: This process's number of samples by outcome: ``"edited"``, ``"by chance"``, the cause of no edit.

    Raises:
        TypeError: For a lone image, where the augmentation could only be a silent no-op.
        RuntimeError: For a CUDA editor in a forked worker.
    """

    preview = draw_preview

    def __init__(
        self,
        *,
        editor: str | Path | SaliencyEditor | None = None,
        store: str | Path | EditStore | None = None,
        p: float = 0.5,
        edits: Sequence[Edit] | None = None,
        seed: int | None = None,
        on_error: Literal["keep", "raise"] = "keep",
        predictor: PredictsSaliency | None = None,
        pairs: bool = False,
        saliency_gate: SaliencyGate | None = None,
        keys: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__()
        self._source = open_source(editor, store, edits, saliency_gate)
        if on_error not in ("keep", "raise"):
            raise ValueError(f"`on_error` must be 'keep' or 'raise', got {on_error!r}.")
        if not isinstance(pairs, bool) or (pairs and predictor is None):
            raise TypeError(f"`pairs` must be a bool, and True needs a `predictor`, got {pairs!r} and {predictor!r}.")
        self.p, self.on_error, self.pairs = check_chance(p), on_error, pairs
        self.predictor = None if predictor is None else check_predictor(predictor)
        self.seed = None if seed is None else check_integer("seed", seed)
        self.keys = SampleKeys.of(keys)
        self._calls, self._lock, self._epoch, self._tally = 0, OwnLock(), SharedNumbers(), Tally()

    def extra_repr(self) -> str:
        """The arguments, for ``print``."""
        keys = "" if self.keys.is_default else f", keys={self.keys.by_role}"
        return f"{self._source!r}, p={self.p}, seed={self.seed}, on_error={self.on_error!r}{keys}"

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of an epoch, in every worker; with a seed, epochs repeat unless this is called.

        Args:
            epoch: Number of the epoch, 0 or more.
        """
        self._epoch.values[0] = check_integer("epoch", epoch, low=0)

    @property
    def counts(self) -> Counter[str]:
        """Number of samples by what became of them."""
        return self._tally.counts

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits to choose from; none with a store."""
        return self._source.edits if isinstance(self._source, LiveEdits) else ()

    @property
    def editor(self) -> SaliencyEditor:
        """The editor, loaded when it is first needed.

        Raises:
            AttributeError: If edits come from a store.
        """
        if not isinstance(self._source, LiveEdits):
            raise AttributeError("This augmentation reads its edits from a store and has no editor.")
        return self._source.load()

    def forward(self, *inputs: Any) -> Any:
        """Augment one sample."""
        sample = inputs[0] if len(inputs) == 1 else inputs
        if not isinstance(sample, (Mapping, tuple, list)):
            raise TypeError(LONE_IMAGE.format(self.keys.describe(), type(sample).__name__))
        row = self.keys.read(sample)
        is_mapless = self.predictor is not None and isinstance(sample, Mapping)
        is_pair = "image" in row and ("saliency_map" in row or is_mapless)
        if not is_pair or not (isinstance(sample, Mapping) or all(map(is_picture, list(row.values())[:2]))):
            raise TypeError(LONE_IMAGE.format(self.keys.describe(), describe_sample(sample)))
        augmented = self.keys.write(sample, self.augment_rows([row], self.keys)[0])
        return AugmentedSample(augmented) if isinstance(augmented, dict) else augmented

    def batch(self, batch: Mapping[str, Any], *, keys: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        """Augment a collated batch where the editor is, in one go: on the GPU, after the loader.

        Args:
            batch: A batch before Normalize: ``image`` (B, 3, H, W), ``saliency_map`` (B, 1, H, W) and, optionally,
                ``prompt`` and ``image_id`` (lists or tensors of length B). A ``predictor`` gives maps that lack.
            keys: Names in the batch; ``None`` takes the transform's.

        Returns:
            The batch with the same keys as a sample, each of length B, the pictures on the images' device.
        """
        if not isinstance(batch, Mapping):
            raise TypeError(f"`batch` must be a dict of collated values, got {describe_sample(batch)}. Give it names.")
        names = self.keys if keys is None else SampleKeys.of(keys)
        columns = names.read(batch)
        needed = ["image"] if self.predictor is not None else ["image", "saliency_map"]
        if lacking := [role for role in needed if role not in columns]:
            raise TypeError(f"`batch` must have {names.describe()}, lacks {', '.join(lacking)}.")
        added = torch.utils.data.default_collate(self.augment_rows(split_batch(columns), names))
        moved = {k: v.to(columns["image"].device) if isinstance(v, Tensor) else v for k, v in added.items()}
        # Collation drops the types by which later v2 transforms know what to do with a picture.
        return dict(names.write(batch, {k: PICTURES[k](v) if k in PICTURES else v for k, v in moved.items()}))

    def augment_rows(self, rows: Sequence[Mapping[str, Any]], keys: SampleKeys) -> list[dict[str, Any]]:
        """The leaves of several samples; those that a map or an edit is made for go through the networks together.

        Args:
            rows: Each sample's values by role.
            keys: The samples' own names of the roles, for messages.
        """
        images = [read_image(row["image"]) for row in rows]
        predicted = self._predict(rows, images)
        leaves, chosen = [], dict[int, ChosenSample]()
        for n, (row, image) in enumerate(zip(rows, images, strict=True)):
            image_id = read_image_id(row, image)
            saliency_map = read_map(predicted[n] if n in predicted else row["saliency_map"], image, image_id)
            caption = read_caption(row, keys) if self._source.needs_captions else ""
            leaves.append({"image": image, "saliency_map": saliency_map})
            if (generator := self._toss(image_id)) is None:
                self._tally.add("by chance")
            elif not saliency_map.max():
                self._keep(EMPTY_MAP)
            else:
                plain = image.as_subclass(Tensor), saliency_map.as_subclass(Tensor)
                chosen[n] = ChosenSample(*plain, caption, generator)
        outcomes = dict(zip(chosen, map(self._count, self._source.edit(list(chosen.values()))), strict=True))
        for n, leaf in enumerate(leaves):
            edit = outcomes.get(n)
            leaf |= edited_leaves(edit) if isinstance(edit, EditedImage) else unedited_leaves(leaf["image"])
            if self.predictor is not None:
                leaf["is_predicted"] = torch.tensor(n in predicted)
        if self.pairs and self.predictor is not None:
            add_edited_maps(self.predictor, leaves)
        return leaves

    def _predict(self, rows: Sequence[Mapping[str, Any]], images: Sequence[Tensor]) -> dict[int, Tensor]:
        """The predictor's maps of the samples that have none, by their place."""
        lacking = [n for n, row in enumerate(rows) if "saliency_map" not in row]
        if self.predictor is None or not lacking:
            return {}
        check_worker(device_of(self.predictor), torch.cuda._is_in_bad_fork())
        self._tally.add("map predicted", len(lacking))
        maps = predict_maps(self.predictor, [images[n].as_subclass(Tensor) for n in lacking])
        return dict(zip(lacking, maps, strict=True))

    def _toss(self, image_id: str) -> torch.Generator | None:
        """The coin toss: the generator of a sample's further draws, or ``None`` where the sample stays as it is."""
        epoch = self._epoch.values.item()
        if self.seed is None:
            with self._lock:
                self._calls += 1
                generator = keyed_generator(torch.initial_seed(), epoch, self._calls, image_id)
        else:
            generator = keyed_generator(self.seed, epoch, image_id)
        return generator if draw_share(generator) < self.p else None

    def _count(self, outcome: EditedImage | Unedited) -> EditedImage | Unedited:
        """Count what became of a sample."""
        if isinstance(outcome, EditedImage):
            self._tally.succeed("edited" if outcome.word else "edited without a word")
        elif outcome.is_expected:
            self._tally.add(outcome.cause or "by chance")
        else:
            self._keep(outcome.cause, outcome.error)
        return outcome

    def _keep(self, cause: str, error: Exception | None = None) -> None:
        """Leave a sample as it is, or refuse to."""
        if self.on_error == "raise":
            raise ValueError(f"A sample cannot be edited: {cause}") from error
        self._tally.fail(cause, error)
