"""Sentences that describe a scene: colours, sizes, places and relations, in several forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from numpy.random import Generator

LEADS = ("", "", "", "a photo of ", "a picture of ", "there is ", "we see ")


class Thing(NamedTuple):
    """An object as a sentence needs it; place and radius are shares of the image."""

    kind: str
    color: str
    x: float
    y: float
    radius: float


def describe(rng: Generator, surface: str, things: Sequence[Thing]) -> str:
    """One sentence about one to three things, in the order given."""
    phrases = [_phrase(rng, thing) for thing in things]
    lead = str(rng.choice(LEADS))
    if len(things) > 2:
        return f"{lead}{', '.join(phrases[:-1])} and {phrases[-1]}{_setting(rng, surface)}"
    if len(things) == 2:
        return f"{lead}{phrases[0]} {_relation(rng, *things)} {phrases[1]}{_setting(rng, surface)}"
    place = f" {_position(things[0])}" if rng.random() < 0.3 else ""
    return f"{lead}{phrases[0]}{_setting(rng, surface)}{place}"


def _phrase(rng: Generator, thing: Thing) -> str:
    size = ("small " if thing.radius < 0.14 else "large " if thing.radius > 0.2 else "") if rng.random() < 0.4 else ""
    words = size + (f"{thing.color} " if rng.random() < 0.75 else "") + thing.kind
    return ("an " if words[0] in "aeiou" else "a ") + words


def _setting(rng: Generator, surface: str) -> str:
    if rng.random() < 0.3:
        return ""
    verb = rng.choice(["", "", " standing", " lying", " resting"])
    return f"{verb} {rng.choice(['on', 'over', 'in front of'], p=[0.75, 0.1, 0.15])} the {surface}"


def _position(thing: Thing) -> str:
    if abs(thing.x - 0.5) < 0.12 and abs(thing.y - 0.5) < 0.2:
        return "in the middle"
    if abs(thing.x - 0.5) > abs(thing.y - 0.5):
        return "on the left" if thing.x < 0.5 else "on the right"
    return "at the top" if thing.y < 0.5 else "at the bottom"


def _relation(rng: Generator, first: Thing, second: Thing) -> str:
    if abs(first.x - second.x) > abs(first.y - second.y):
        exact = "to the left of" if first.x < second.x else "to the right of"
    else:
        exact = "above" if first.y < second.y else "below"
    return str(rng.choice([exact, exact, "next to", "near", "and"]))
