"""The base class of all kinds of edit, and the table of kinds that it fills."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import Self

from augsal_transforms.config import EditConfig
from augsal_transforms.diffusion.calibration import Calibration
from augsal_transforms.randomness import draw_share

Alpha = float | tuple[float, float]  # the editing strength asked for, or a (low, high) range to draw it from

KINDS: dict[str, type[Edit]] = {}  # every kind of edit by its name; ``Edit`` fills it


@dataclass(frozen=True)
class Edit(ABC):
    """An edit with its α, or a range of edits to draw from; the base class of all kinds.

    A subclass is a frozen dataclass. It sets the class attributes, gives ``alpha`` a default and defines
    ``edit_latent``; it may define ``inserted_word`` and ``injection_weight``. Defining it adds it to ``KINDS``.
    Records are named by ``kind``, ``color_name`` and α, so nothing else in an edit may change its pixels.

    Attributes:
        kind: Name of the kind, in lower-case letters, digits and underscores.
        identity: The α that changes nothing.
        alpha_range: Smallest and largest allowed α.
        alpha_span: Distance of α from ``identity`` at which the inserted token has its full weight.
        keeps_mean: Whether the region's mean colour must stay as it is.
        alpha: Editing strength asked for, or a (low, high) range to draw it from.
    """

    kind: ClassVar[str]
    identity: ClassVar[float]
    alpha_range: ClassVar[tuple[float, float]]
    alpha_span: ClassVar[float]
    keeps_mean: ClassVar[bool] = False

    alpha: Alpha

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name, kind = cls.__name__, vars(cls).get("kind")
        lacking = [needed for needed in ("identity", "alpha_range", "alpha_span", "alpha") if not hasattr(cls, needed)]
        if kind is None or lacking:
            raise TypeError(f"`{name}` must set {', '.join(f'`{x}`' for x in lacking or ['kind'])}, as a kind of edit.")
        if not re.fullmatch("[a-z][a-z0-9_]*", kind) or kind == "none":  # a sample without an edit has "none"
            raise ValueError(
                f"`kind` of {name} must be lower-case letters, digits and underscores, and not 'none', got {kind!r}."
            )
        known = KINDS.get(kind, cls)
        # The same definition may run twice: a notebook's cell, a reloaded module.
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"`kind` of {name} must be a new name, got {kind!r}, which is {known.__name__}'s.")
        if not (cls.alpha_range[0] <= cls.identity <= cls.alpha_range[1] and cls.alpha_span > 0):
            raise ValueError(f"`identity` of {name} must lie in `alpha_range`, and `alpha_span` must be above 0.")
        KINDS[kind] = cls

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Refuse a subclass that is no dataclass; its ``alpha`` would not become its default."""
        own = vars(cls)
        if "__dataclass_fields__" not in own:
            raise TypeError(f"`{cls.__name__}` must be a dataclass: write `@dataclass(frozen=True)` above its class.")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        further = [field.name for field in fields(self) if field.name != "alpha"]
        if further and type(self).color_name is Edit.color_name:
            raise TypeError(
                f"{type(self).__name__} has the further field(s) {', '.join(further)}, which no record is named by: "
                "two edits that differ in them would share one. Keep `alpha` alone, or define `color_name` from them."
            )
        object.__setattr__(self, "alpha", check_alpha(self.alpha, type(self).__name__, *self.alpha_range))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The edit that a command line names: ``"1.5"``, ``"1.2:1.8"``, or ``""`` for the default range.

        Raises:
            ValueError: If the text is none of them, or α is out of range.
        """
        return cls(**({"alpha": parse_alpha(text, cls.__name__)} if text.strip() else {}))

    @property
    def alpha_value(self) -> float:
        """α as a number.

        Raises:
            ValueError: If it is a range.
        """
        if isinstance(self.alpha, tuple):
            raise ValueError(f"{self!r} is a range; `draw(generator)` turns it into one edit.")
        return self.alpha

    @property
    def magnitude(self) -> float:
        """Distance of α from ``identity`` as a share of ``alpha_span``, in [0, 1]."""
        return min(1.0, abs(self.alpha_value - self.identity) / self.alpha_span)

    @property
    def is_null(self) -> bool:
        """Whether the edit changes nothing."""
        return self.alpha == self.identity

    @property
    def color_name(self) -> str:
        """The target colour's name, or "" for a kind without one."""
        return ""

    @property
    def inserted_word(self) -> str:
        """The word inserted before the region's word, or "" for the empty token (Sec. 4.1)."""
        return ""

    def injection_weight(self, config: EditConfig) -> float:
        """Weight of the inserted token where M = 1, in [0, 1]; it fades to 0 as α nears ``identity``."""
        return self.magnitude * config.injection

    def draw(self, generator: torch.Generator) -> Self:
        """Draw one edit: α uniform in (low, high). An edit whose α is a number is returned as it is."""
        if not isinstance(self.alpha, tuple):
            return self
        low, high = self.alpha
        # Thousandths: 1.2 stays 1.2 on every machine, in records and in keys.
        alpha = round(low + (high - low) * draw_share(generator), 3)
        return replace(self, alpha=min(max(alpha, low), high))

    @abstractmethod
    def edit_latent(
        self, latent: Tensor, latent_mask: Tensor, properties: Tensor, calibration: Calibration, config: EditConfig
    ) -> Tensor:
        """Z_E: the latent, edited inside the mask.

        Args:
            latent: Z, (B, 4, h, w), scaled latent units.
            latent_mask: The edit mask at latent resolution, (B, 1, h, w), in [0, 1].
            properties: The six photometric properties inside the mask, (B, 6), RGB in [0, 1].
            calibration: γ, A⁺ and the grey latent of the model.
            config: Settings of the edits.

        Returns:
            Z_E, shaped like ``latent`` and equal to it where the mask is 0.
        """


def edit_latent(
    edit: Edit,
    latent: Tensor,
    latent_mask: Tensor,
    properties: Tensor,
    calibration: Calibration,
    config: EditConfig,
) -> Tensor:
    """Z_E of an edit. The edit is given copies, so that a kind that writes in place harms no other edit.

    Args:
        edit: The edit, its α a number.
        latent: As in ``Edit.edit_latent``, like all that follow.
        latent_mask: The edit mask at latent resolution.
        properties: The six photometric properties.
        calibration: The model's calibration.
        config: Settings of the edits.

    Raises:
        TypeError: If the kind returns no tensor.
        ValueError: If its tensor is not shaped as the latent.
    """
    name = f"`edit_latent` of {type(edit).__name__}"
    result: object = edit.edit_latent(latent.clone(), latent_mask.clone(), properties.clone(), calibration, config)
    if not isinstance(result, Tensor):
        raise TypeError(f"{name} must return the edited latent, a tensor, got {type(result).__name__}.")
    if result.shape != latent.shape:
        raise ValueError(f"{name} must return a tensor shaped {tuple(latent.shape)}, got {tuple(result.shape)}.")
    return result.to(latent)


def check_alpha(alpha: Any, name: str, low: float, high: float) -> Alpha:
    """α as a float or a pair of floats.

    Args:
        alpha: The value to check.
        name: Name of the edit, for errors.
        low: The smallest α allowed.
        high: The largest α allowed.

    Raises:
        TypeError: If it is neither a number nor a pair of numbers.
        ValueError: If it lies outside [``low``, ``high``], or a range is empty.
    """
    is_range = isinstance(alpha, (tuple, list))
    numbers = tuple(alpha) if is_range else (alpha,)
    if any(isinstance(number, bool) or not isinstance(number, Real) for number in numbers):
        raise TypeError(f"`alpha` of {name} must be a number or a (low, high) pair of numbers, got {alpha!r}.")
    if is_range and (len(numbers) != 2 or not low <= numbers[0] <= numbers[1] <= high):
        raise ValueError(f"`alpha` of {name} must be a number or a (low, high) pair in [{low}, {high}], got {alpha!r}.")
    if not low <= numbers[0] <= high:
        raise ValueError(f"`alpha` of {name} must lie in [{low}, {high}], got {alpha!r}.")
    return (float(numbers[0]), float(numbers[1])) if is_range else float(alpha)


def parse_alpha(text: str, name: str) -> Alpha:
    """α from text.

    Args:
        text: A number, or low:high, such as ``"0.5"`` or ``"0.3:0.8"``.
        name: Name of the edit, for errors.

    Raises:
        ValueError: If the text is neither.
    """
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise ValueError(f"`alpha` of {name} must be a number or low:high, as in 0.5 or 0.3:0.8, got {text!r}.")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])
