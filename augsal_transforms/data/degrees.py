"""One degree of visual angle in pixels, the usual sigma of saliency maps, for data sets of which it is published."""

from __future__ import annotations

_OSIE = 24.0  # by its authors' code
_OSIES = {(768, 1024): 26.0}  # by the code of their second set, Saliency in Crowd; sizes are (H, W)
_DEGREES = {"osie": _OSIE, "mit1003": 35.0, "salicon": 19.0}  # MIT1003's by the MIT/Tübingen benchmark


def degree_of_osie(size: tuple[int, int]) -> float:
    """One degree in pixels, for images of this (H, W) in OSIE or Saliency in Crowd."""
    return _OSIES.get(size, _OSIE)


def degree_of(name: str) -> float | None:
    """One degree in pixels in the data set of this name, in capitals or not; ``None`` where it is not known."""
    return _DEGREES.get(name.lower())
