"""The names that a sample has for what is read, and the names of what is added to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROLES = ("image", "saliency_map", "prompt", "image_id")
ADDED = (
    "edited_image",
    "edit_mask",
    "is_edited",
    "edit_kind",
    "edit_color",
    "edit_word",
    "edit_alpha",
    "edit_strength",
    "is_predicted",
    "edited_saliency_map",
)

LONE_IMAGE = (
    "SaliencyDiffusionAugment needs an image with its saliency map: a dict with {}, or an (image, saliency_map) tuple, "
    "got {}. Where a sample has other names for them, say so: keys={{'image': 'img', 'saliency_map': 'label'}}. For a "
    "pipeline that transforms the image alone, wrap the data set: "
    "AugmentedDataset(dataset, augment, image_transform=..., saliency_transform=...)."
)


@dataclass(frozen=True)
class SampleKeys:
    """The names, in a dict, or positions, in a tuple, of image, map, caption and id.

    Attributes:
        by_role: Name or position of each role. Roles without a position are left out.
        is_default: Whether these are the contract's own names. A tuple is then (image, saliency_map, …).
    """

    by_role: dict[str, str | int]
    is_default: bool = False

    @property
    def holds_positions(self) -> bool:
        """Whether the keys are positions in a tuple."""
        return isinstance(self.by_role["image"], int)

    @property
    def positions(self) -> dict[int, str]:
        """The roles by their position in a tuple."""
        if self.is_default:
            return {0: "image", 1: "saliency_map"}
        return {key: role for role, key in self.by_role.items() if isinstance(key, int)}

    @classmethod
    def of(cls, keys: Mapping[str, str | int] | None) -> SampleKeys:
        """Check the argument ``keys``, and add the default names or positions.

        Raises:
            TypeError: If it is no dict of names or of positions.
            ValueError: If a role is unknown, a position negative, two roles have one key, or a key is one of those
                that are added.
        """
        if not isinstance(keys, (Mapping, type(None))):
            raise TypeError(f"`keys` must be a dict such as {{'image': 'img'}}, got {type(keys).__name__}.")
        if not keys:
            return cls({role: role for role in ROLES}, is_default=True)
        if unknown := [role for role in keys if role not in ROLES]:
            raise ValueError(f"`keys` must name some of {', '.join(ROLES)}, got {', '.join(map(repr, unknown))}.")
        positions = [isinstance(key, int) and not isinstance(key, bool) for key in keys.values()]
        if not all(positions) and not all(isinstance(key, str) for key in keys.values()):
            raise TypeError(
                f"`keys` must hold names (str) or positions in a tuple (int), all of one kind, got {keys!r}."
            )
        by_role: dict[str, str | int] = {"image": 0, "saliency_map": 1} if any(positions) else {r: r for r in ROLES}
        by_role.update(keys)
        for role, key in by_role.items():
            if isinstance(key, int) and key < 0:
                raise ValueError(f"`keys` must hold positions of 0 or more, got {key} for {role!r}.")
            if key in ADDED:
                raise ValueError(
                    f"`keys` must not hold {key!r}, a key that is added to the sample; rename the sample's."
                )
            if shared := [other for other in by_role if other != role and by_role[other] == key]:
                raise ValueError(
                    f"`keys` must give each role a key of its own, got {key!r} for {role!r}, {shared[0]!r}."
                )
        return cls(by_role)

    def read(self, sample: Any) -> dict[str, Any]:
        """The values that a sample has, by role; roles that it lacks are left out.

        Raises:
            TypeError: If the sample is neither a dict nor a tuple, or not of the kind that the keys are for.
        """
        sample = self._as_mapping(sample)
        if isinstance(sample, Mapping):
            if self.holds_positions:
                raise TypeError(f"`keys` holds positions, for tuples, got a dict with the keys {_names(sample)}.")
            return {role: sample[key] for role, key in self.by_role.items() if key in sample}
        if not isinstance(sample, (tuple, list)):
            raise TypeError(f"a sample must be a dict or a tuple, got {type(sample).__name__}.")
        if not self.holds_positions and not self.is_default:
            raise TypeError(
                f"`keys` holds names, for dicts, got a {type(sample).__name__}. Give positions: {{'image': 0}}."
            )
        return {role: sample[place] for place, role in self.positions.items() if place < len(sample)}

    def write(self, sample: Any, leaves: Mapping[str, Any]) -> Any:
        """The sample with image and map replaced and the other leaves added.

        Returns:
            A dict for a dict or a named tuple; else a list or tuple, to which one dict is appended.
        """
        sample = self._as_mapping(sample)
        added = {key: value for key, value in leaves.items() if key not in ("image", "saliency_map")}
        if isinstance(sample, Mapping):
            pair = {self.by_role[role]: leaves[role] for role in ("image", "saliency_map")}
            return {**sample, **pair, **added}
        items = list(sample)
        for place, role in self.positions.items():
            items[place] = leaves.get(role, items[place])
        return [*items, added] if isinstance(sample, list) else (*items, added)

    def describe(self) -> str:
        """The keys that a sample needs, for messages."""
        return f"{self.by_role['image']!r} and {self.by_role['saliency_map']!r}"

    def _as_mapping(self, sample: Any) -> Any:
        """A named tuple as a dict of its fields, where the keys are names."""
        named = isinstance(sample, tuple) and hasattr(sample, "_asdict")
        return sample._asdict() if named and not self.holds_positions else sample


def describe_sample(sample: Any) -> str:
    """The kind of a sample, for messages."""
    if isinstance(sample, Mapping):
        return f"a dict with the keys {_names(sample)}"
    if hasattr(sample, "_fields"):
        return f"a named tuple with the fields {list(sample._fields)}"
    if isinstance(sample, (tuple, list)):
        return f"a {type(sample).__name__} of {', '.join(type(item).__name__ for item in sample) or 'nothing'}"
    return type(sample).__name__


def _names(sample: Mapping[str, Any]) -> list[str]:
    return sorted(map(str, sample))
