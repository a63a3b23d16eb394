"""The variants of Table 2 on photographs, and what each is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from table2.variants import Variant


@dataclass(frozen=True, kw_only=True)
class PhotographVariant(Variant):
    """One way of training on photographs.

    Attributes:
        source: The edits: ``"editor"``, all of the editor's; ``"gated"``, those of them after which a predictor's share
            of gaze in the region is higher; or ``"plain pixels"``, the same kinds and strengths in the same masks, by
            arithmetic on RGB.
        mirrored: Whether half of the samples are mirrored.
        pairs: Whether an edited image is supervised too, with the original's map reweighted by the predictor.
        change_weight: Weight of ``GazeChangeLoss``, whose target is the change between these two maps.
        compared_with: Name of the variant that it is compared with.
    """

    source: Literal["editor", "gated", "plain pixels"] = "editor"
    mirrored: bool = False
    pairs: bool = False
    change_weight: float = 0.0
    compared_with: str = "without"

    @property
    def uses_maps(self) -> bool:
        """Whether the variant needs maps of the edited images."""
        return self.pairs or self.change_weight > 0


WITHOUT = PhotographVariant(name="without", augmentation="none", p=0.0)
PHOTOGRAPH_GRID = (
    WITHOUT,
    PhotographVariant(name="mirroring", augmentation="none", p=0.0, mirrored=True),
    PhotographVariant(name="with"),
    PhotographVariant(name="mirroring and with", mirrored=True, compared_with="mirroring"),
    PhotographVariant(name="gated edits", source="gated"),
    PhotographVariant(name="annotation pairs", pairs=True),
    PhotographVariant(name="edits as plain images", augmentation="pixels"),
    PhotographVariant(name="rank loss", form="rank"),
    PhotographVariant(name="edits in plain pixels", source="plain pixels", compared_with="with"),
)


def find_variant(name: str) -> PhotographVariant:
    """The variant of a name.

    Raises:
        ValueError: If there is none.
    """
    for variant in PHOTOGRAPH_GRID:
        if variant.name == name:
            return variant
    known = ", ".join(repr(variant.name) for variant in PHOTOGRAPH_GRID)
    raise ValueError(f"There is no variant {name!r}; the variants are {known}.")
