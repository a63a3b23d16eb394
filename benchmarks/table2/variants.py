"""The variants of the ablation (Sec. 5.6, and the subjects of the supplement), the most informative first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from augsal_transforms.losses import AugmentedSaliencyLoss, MaskedEditingLoss, SaliencyLoss
from table2.classical import CLASSICAL


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way of training.

    Attributes:
        name: Name in tables and on the command line.
        augmentation: ``"none"``; ``"edits"``, an edited image beside the original, with the editing loss;
            ``"pixels"``, the edited image in place of the original, with the unchanged map; the name of a
            classical augmentation; or a key of ``TrainingSet.alternatives``.
        p: Chance that a sample is augmented, in [0, 1]; the paper's p is 1 − p.
        kinds: Kinds of edits to draw from.
        store: Name of the store of edits: ``"default"``; ``"unscaled"``, made without γ; or ``"unbounded"``, made
            without the two-sigma rule.
        form: Form of the editing loss, as in ``MaskedEditingLoss``.
        detach: Detached side of the editing loss, as in ``MaskedEditingLoss``.
        editing_weight: Weight of the editing loss, as in ``AugmentedSaliencyLoss``.
        supervise: Supervised samples, as in ``AugmentedSaliencyLoss``.
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
        """Whether the variant needs edits from a store."""
        return self.augmentation in ("edits", "pixels")

    def criterion(self) -> AugmentedSaliencyLoss:
        """The loss of the variant, around the paper's Eq. 4."""
        editing = MaskedEditingLoss(self.form, self.detach)
        return AugmentedSaliencyLoss(SaliencyLoss(), self.editing_weight, self.supervise, editing)


WITHOUT = Variant(name="without", augmentation="none", p=0.0)
GRID = (
    WITHOUT,
    Variant(name="with"),
    Variant(name="edits as plain images", augmentation="pixels"),
    Variant(name="weight 0", editing_weight=0.0),  # a control: the second forward pass and its batch statistics alone
    Variant(name="supervise unedited", supervise="unedited"),
    Variant(name="form rank", form="rank"),
    Variant(name="form released", form="released"),
    Variant(name="weight 1", editing_weight=1.0),
    Variant(name="weight 0.3", editing_weight=0.3),
    Variant(name="weight 0.03", editing_weight=0.03),
    Variant(name="detach none", detach="none"),
    Variant(name="detach edited", detach="edited"),
    Variant(name="p 0.25", p=0.25),
    Variant(name="p 0.75", p=0.75),
    Variant(name="p 1", p=1.0),
    Variant(name="contrast alone", kinds=("contrast",)),
    Variant(name="brightness alone", kinds=("brightness",)),
    Variant(name="color alone", kinds=("color",)),
    Variant(name="scaling off", store="unscaled"),
    Variant(name="constraint off", store="unbounded"),
    # Not available for photographs, but they show how much could be gained: edited images with the maps that belong to
    # them, and unedited images with maps from more viewers.
    Variant(name="edits with true maps", augmentation="true maps"),
    Variant(name="other viewers", augmentation="other viewers"),
    *(
        Variant(
            name=name if name not in ("contrast", "brightness", "color") else f"whole-frame {name}", augmentation=name
        )
        for name in CLASSICAL
    ),
)


def find_variants(names: Sequence[str]) -> list[Variant]:
    """Find variants by name; they are returned in the order of ``GRID``.

    Raises:
        ValueError: If there is no variant of a name.
    """
    known = {variant.name for variant in GRID}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"There is no variant {unknown[0]!r}; the variants are {', '.join(repr(c.name) for c in GRID)}."
        )
    return [variant for variant in GRID if variant.name in names]
