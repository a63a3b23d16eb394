"""The two sources of edited images: an editor that makes them now, or a store of edits made before."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import DEFAULT_EDITS, RAISING_EDITS, Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.editor.saliency_gate import SaliencyGate
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.readouts.contract import device_of
from augsal_transforms.sharing import OwnLock
from augsal_transforms.store.store import EditStore, draw_edit

_NO_CAPTION = (
    "A sample has no caption: its whole salient area is edited, and no word is named. Where captions have another name "
    "than `prompt`, say so: keys={'prompt': 'caption'}, or for tuples their position: keys={'prompt': 2}. "
    "Later samples without one are only counted, in `counts`."
)
NOT_HELD = (
    "the store holds no edit of this image. Edits are found by the original's pixels: was it filled from this data by "
    "`augsal generate`, and is the augmentation first in the Compose, before resizes and crops?"
)
DAMAGED = "the store's record is damaged or cannot be read; `augsal verify --repair` and `augsal generate` mend it."
EMPTY_MAP = "`saliency_map` is all zeros."
_NO_REGION = "nothing to edit: no word's attention meets the saliency map."
NOT_RAISED = "not raised"


class ChosenSample(NamedTuple):
    """A sample that chance chose for an edit.

    Attributes:
        image: The original, (3, H, W).
        saliency_map: S, (1, H, W), in [0, 1].
        caption: The caption, or "".
        generator: Generator of the draws that follow the coin toss.
    """

    image: Tensor
    saliency_map: Tensor
    caption: str
    generator: torch.Generator


class Unedited(NamedTuple):
    """A sample that stays as it is.

    Attributes:
        cause: The cause, a sentence; "" where the drawn edit changes nothing; ``NOT_RAISED`` where a gate let no
            candidate pass.
        error: The exception behind it, if any.
    """

    cause: str
    error: Exception | None = None

    @property
    def is_expected(self) -> bool:
        """Whether nothing failed: the draw or the gate decided so."""
        return self.cause in ("", NOT_RAISED)


class LiveEdits:
    """Edits that an editor makes as samples come.

    Args:
        editor: A name, a folder or an editor. A name is loaded when the editor is first needed.
        edits: Edits to choose from; ``None`` is one of each kind, with a gate milder ones.
        saliency_gate: Chooses among several candidates; ``None`` takes the one that is drawn.

    Raises:
        TypeError: If one is of another kind.
    """

    needs_captions = True

    def __init__(self, editor: Any, edits: Any = None, saliency_gate: Any = None) -> None:
        if not isinstance(editor, (str, Path, SaliencyEditor)):
            raise TypeError(f"`editor` must be a name, a folder or a SaliencyEditor, got {type(editor).__name__}.")
        if not isinstance(saliency_gate, (SaliencyGate, type(None))):
            raise TypeError(f"`saliency_gate` must be a SaliencyGate or None, got {type(saliency_gate).__name__}.")
        self.saliency_gate = saliency_gate
        if edits is None:
            edits = DEFAULT_EDITS if saliency_gate is None else RAISING_EDITS
        self.edits: tuple[Edit, ...] = (
            tuple(edits) if isinstance(edits, Sequence) and not isinstance(edits, str) else ()
        )
        if not self.edits or not all(isinstance(edit, Edit) for edit in self.edits):
            raise TypeError(f"`edits` must hold at least one edit, as in [Contrast(), Color('red')], got {edits!r}.")
        self._editor: str | SaliencyEditor = str(editor) if isinstance(editor, Path) else editor
        self._lock, self._has_warned = OwnLock(), False

    def __repr__(self) -> str:
        name = self._editor if isinstance(self._editor, str) else self._editor.name
        gate = "" if self.saliency_gate is None else f", saliency_gate={self.saliency_gate!r}"
        return f"editor={name!r}, edits={self.edits}{gate}"

    def load(self) -> SaliencyEditor:
        """The editor, loaded.

        Raises:
            RuntimeError: For a CUDA editor in a forked worker.
        """
        with self._lock:
            if isinstance(self._editor, str):
                self._editor = SaliencyEditor.from_pretrained(self._editor)
            gate = self.saliency_gate
            for device in (self._editor.model.device, *(() if gate is None else (device_of(gate.predictor),))):
                check_worker(device, torch.cuda._is_in_bad_fork())
            return self._editor

    def edit(self, samples: Sequence[ChosenSample]) -> list[EditedImage | Unedited]:
        """Draw an edit for each sample, and make all of them together; one that fails costs its sample."""
        drawn = [self.draw(sample.generator) for sample in samples]
        outcomes: list[EditedImage | Unedited] = [Unedited("")] * len(samples)
        jobs = [n for n, (edits, _) in enumerate(drawn) if not all(edit.is_null for edit in edits)]
        if jobs:
            editor = self.load()
            self._warn_of_captions([samples[n] for n in jobs])
            made = _edit_together(editor, [(samples[n], *drawn[n]) for n in jobs], self.saliency_gate)
            for n, outcome in zip(jobs, made, strict=True):
                outcomes[n] = outcome
        return outcomes

    def draw(self, generator: torch.Generator) -> tuple[list[Edit], int]:
        """A kind of edit with its α, with a gate candidates that begin with this kind; and the seed of their pixels."""
        first = int(torch.randint(len(self.edits), (), generator=generator, device="cpu"))
        turns = [*self.edits[first:], *self.edits[:first]]
        gate = self.saliency_gate
        drawn = [turns[0].draw(generator)] if gate is None else gate.draw_candidates(turns, generator)
        return drawn, int(torch.randint(2**31, (), generator=generator, device="cpu"))

    def _warn_of_captions(self, samples: Sequence[ChosenSample]) -> None:
        if not self._has_warned and not all(sample.caption for sample in samples):
            self._has_warned = True
            warnings.warn(_NO_CAPTION, stacklevel=2)


class StoreEdits:
    """Edits read from a store.

    Args:
        store: A store or its folder.

    Raises:
        TypeError: If it is of another kind.
        ValueError: If it is a file.
        FileNotFoundError: If there is no store, or no edit in it.
    """

    needs_captions = False

    def __init__(self, store: Any) -> None:
        if not isinstance(store, (str, Path, EditStore)):
            raise TypeError(f"`store` must be a folder or an EditStore, got {type(store).__name__}.")
        if not isinstance(store, EditStore) and Path(store).is_file():
            raise ValueError(f"`store` must be a folder that `augsal generate` filled, got the file {store}.")
        self.store = store if isinstance(store, EditStore) else EditStore(store, readonly=True)
        self.store.require_edits()

    def __repr__(self) -> str:
        return f"store={str(self.store.folder)!r}"

    def edit(self, samples: Sequence[ChosenSample]) -> list[EditedImage | Unedited]:
        """Draw one of the edits of each sample's image: a kind, then one of its α, uniformly."""
        return [self._read(sample) for sample in samples]

    def _read(self, sample: ChosenSample) -> EditedImage | Unedited:
        held = self.store.edits_of(sample.image)
        if not held:
            return Unedited(NOT_HELD)
        try:
            return _found(draw_edit(held, sample.generator).load())
        except Exception as error:
            if not belongs_to_image(error):
                raise
            return Unedited(DAMAGED, error)


def check_worker(device: torch.device, in_bad_fork: bool) -> None:
    """Refuse to run a CUDA editor in a forked worker, where CUDA cannot be initialised again."""
    if device.type == "cuda" and in_bad_fork:
        raise RuntimeError(
            "The editor is on CUDA and this is a forked data loader worker. Fill a store once and read edits from it, "
            "or call `augment.batch(batch)` on the GPU after collation, or use `num_workers=0`."
        )


def _edit_together(
    editor: SaliencyEditor, jobs: Sequence[tuple[ChosenSample, list[Edit], int]], saliency_gate: SaliencyGate | None
) -> list[EditedImage | Unedited]:
    """The edits of samples; where they fail together, each is made alone."""
    samples, edits, seeds = zip(*jobs, strict=True)
    try:
        results = editor.edit(
            [sample.image for sample in samples],
            [sample.saliency_map for sample in samples],
            [sample.caption for sample in samples],
            list(edits),
            seed=list(seeds),
            saliency_gate=saliency_gate,
        )
    except Exception as error:
        if not belongs_to_image(error):
            raise
        if len(jobs) > 1:
            return [outcome for job in jobs for outcome in _edit_together(editor, [job], saliency_gate)]
        return [Unedited(f"the editor failed: {type(error).__name__}: {error}", error)]
    return [_found(result) for result in results]


def _found(result: EditedImage) -> EditedImage | Unedited:
    return result if result.is_edited else Unedited(NOT_RAISED if result.tried else _NO_REGION)


def open_source(editor: Any, store: Any, edits: Any, saliency_gate: Any) -> LiveEdits | StoreEdits:
    """The source of edits that the transform's arguments name.

    Raises:
        TypeError: If they name none or two, or say of a store's edits what was decided when it was filled.
    """
    if (editor is None) == (store is None):
        raise TypeError("Give exactly one of `editor` and `store`: edits are either made now or were made before.")
    if store is None:
        return LiveEdits(editor, edits, saliency_gate)
    if edits is not None:
        raise TypeError("`edits` goes with `editor`; a store's kinds and strengths are those it was filled with.")
    if saliency_gate is not None:
        raise TypeError(
            "`saliency_gate` goes with `editor`; `augsal generate --raise-saliency first` fills a store with edits "
            "that raise the predicted saliency."
        )
    return StoreEdits(store)
