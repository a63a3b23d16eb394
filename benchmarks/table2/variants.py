"""The cells of the ablation (Sec. 5.6 and the supplement's subjects), most telling first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from table2.classical import CLASSICAL

from augsal_transforms.losses import AugmentedSaliencyLoss, MaskedEditingLoss, SaliencyLoss


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One way of training.

    Attributes:
        name: What it is called in tables and on the command line.
        augmentation: ``"none"``; ``"edits"``, an edited image beside the original and the editing loss;
            ``"pixels"``, the edited image in the original's place with the unchanged map; the name of a
            classical augmentation, of image and map; or that of ``TrainingPool.alternatives``.
        p: Chance that a sample is augmented; the paper's p is 1 − p.
        kinds: Edits to draw from.
        store: Which edits: as made by ``"default"``; ``"unscaled"``, without γ; ``"unbounded"``, without the
            two-sigma rule.
        form: Of the editing loss.
        detach: Of the editing loss.
        editing_weight: As in ``AugmentedSaliencyLoss``.
        supervise: As in ``AugmentedSaliencyLoss``.
    """

    name: str
    augmentation: str = "edits"
    p: float = 0.5
    kinds: tuple[str, ...] = ("contrast", "brightness", "color")
    store: Literal["default", "unscaled", "unbounded"] = "default"
    form: Literal["bce", "released", "rank"] = "bce"
    detach: Literal["original", "edited", "none"] = "original"
    editing_weight: float = 0.1
    supervise: Literal["all", "unedited"] = "all"

    @property
    def uses_edits(self) -> bool:
        """Whether it needs edits from a store."""
        return self.augmentation in ("edits", "pixels")

    def criterion(self) -> AugmentedSaliencyLoss:
        """Its loss, around the paper's Eq. 4."""
        editing = MaskedEditingLoss(self.form, self.detach)
        return AugmentedSaliencyLoss(SaliencyLoss(), self.editing_weight, self.supervise, editing)


WITHOUT = Cell(name="without", augmentation="none", p=0.0)
GRID = (
    WITHOUT,
    Cell(name="with"),
    Cell(name="edits as plain images", augmentation="pixels"),
    Cell(name="weight 0", editing_weight=0.0),  # a control: the second forward pass and its batch statistics alone
    Cell(name="supervise unedited", supervise="unedited"),
    Cell(name="form rank", form="rank"),
    Cell(name="form released", form="released"),
    Cell(name="weight 1", editing_weight=1.0),
    Cell(name="weight 0.3", editing_weight=0.3),
    Cell(name="weight 0.03", editing_weight=0.03),
    Cell(name="detach none", detach="none"),
    Cell(name="detach edited", detach="edited"),
    Cell(name="p 0.25", p=0.25),
    Cell(name="p 0.75", p=0.75),
    Cell(name="p 1", p=1.0),
    Cell(name="contrast alone", kinds=("contrast",)),
    Cell(name="brightness alone", kinds=("brightness",)),
    Cell(name="color alone", kinds=("color",)),
    Cell(name="scaling off", store="unscaled"),
    Cell(name="constraint off", store="unbounded"),
    # No ways to train, but how much could be had: edited images with maps that are true of them; and, without any
    # edit, more viewers.
    Cell(name="edits with true maps", augmentation="true maps"),
    Cell(name="other viewers", augmentation="other viewers"),
    *(
        Cell(name=name if name not in ("contrast", "brightness", "color") else f"whole-frame {name}", augmentation=name)
        for name in CLASSICAL
    ),
)


def find_cells(names: Sequence[str]) -> list[Cell]:
    """The cells of these names, in the order of ``GRID``.

    Raises:
        ValueError: If there is none of a name.
    """
    known = {cell.name for cell in GRID}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"There is no cell {unknown[0]!r}; the cells are {', '.join(repr(c.name) for c in GRID)}.")
    return [cell for cell in GRID if cell.name in names]
