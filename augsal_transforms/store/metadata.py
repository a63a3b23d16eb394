"""The JSON of a record: which fields it has, and the check that each of them is what it must be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from augsal_transforms.data.images import MAX_PIXELS
from augsal_transforms.editor.results import Trial
from augsal_transforms.photometry import PROPERTIES
from augsal_transforms.store.keys import COLOR, FAST_HASH, HASH, KIND, MAX_ALPHA, SCHEMA

MAX_TRIED = 1000  # candidates of one record

# The fields that a record takes from an ``EditedImage`` and gives back to it.
RESULT_FIELDS = (
    *("kind", "color", "word", "region_source", "strength", "bound_by"),
    *("properties_before", "properties_after", "seed"),
)


def _is_integer(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_integer(n, 0, MAX_PIXELS) for n in value)


def _are_properties(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == set(PROPERTIES) and all(map(_is_number, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "schema": lambda value: _is_integer(value, 1, SCHEMA),
    "image": lambda value: _is_text(value) and bool(HASH.fullmatch(value)),
    "saliency_map": lambda value: _is_text(value) and bool(HASH.fullmatch(value)),
    "prompt": _is_text,
    "source": _is_text,
    "word": _is_text,
    "bound_by": _is_text,
    "region_source": lambda value: value in ("word", "saliency_map"),
    "kind": lambda value: _is_text(value) and bool(KIND.fullmatch(value)),
    "color": lambda value: _is_text(value) and bool(COLOR.fullmatch(value)),
    "seed": lambda value: _is_integer(value, -(2**63), 2**64 - 1),
    "alpha": lambda value: _is_integer(value, 1 - MAX_ALPHA, MAX_ALPHA - 1),
    "strength": lambda value: _is_number(value) and 0 <= value <= 1,
    "properties_before": _are_properties,
    "properties_after": _are_properties,
    "editor": lambda value: isinstance(value, dict),
    "place": _is_pair,
    "size": lambda value: _is_pair(value) and (value == [0, 0] or 0 < value[0] * value[1] <= MAX_PIXELS),
}


def _are_trials(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_TRIED and all(map(_is_trial, value))


def _is_trial(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {field.name for field in fields(Trial)}
        and all(_is_text(value[name]) and pattern.fullmatch(value[name]) for name, pattern in _NAMES.items())
        and all(_is_number(value[name]) for name in ("alpha", "rise"))
        and _FIELDS["strength"](value["strength"])
    )


_NAMES = {"kind": KIND, "color": COLOR}
# Fields that older records lack; the first two are of edits that a gate chose.
_FURTHER_FIELDS: dict[str, Callable[[Any], bool]] = {
    "rise": _is_number,
    "tried": _are_trials,
    "fast_hash": lambda value: _is_text(value) and bool(FAST_HASH.fullmatch(value)),
}


def check_metadata(content: Any) -> dict[str, Any]:
    """The metadata of a record, every field of the right type and in its range.

    Raises:
        ValueError: If it is anything else; the field is named.
    """
    if not isinstance(content, dict):
        raise ValueError("A record's metadata must be a JSON object.")
    if lacking := [name for name in _FIELDS if name not in content]:
        raise ValueError(f"A record's metadata must have `{lacking[0]}`.")
    for name, is_valid in {**_FIELDS, **_FURTHER_FIELDS}.items():
        if name in content and not is_valid(content[name]):
            raise ValueError(f"`{name}` of a record has a wrong type or is out of range, got {content[name]!r:.80}.")
    return content
