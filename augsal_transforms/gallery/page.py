"""The page of a gallery: one HTML file that loads nothing, with its style and script allowed by their hashes."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

from augsal_transforms.gallery.cards import Card
from augsal_transforms.gallery.texts import clean, label

GENERATOR = "augsal gallery"
_HEAD = 400  # bytes of a page within which its generator is named


def render(cards: Sequence[Card], *, source: str, notes: Sequence[str] = ()) -> bytes:
    """A gallery as HTML in UTF-8; equal cards give equal bytes.

    Args:
        cards: The images.
        source: Name of the store or the editor of the edits, for the heading.
        notes: Sentences about what was left out.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_read))
    environment.trim_blocks = environment.lstrip_blocks = True
    style, script = _read("page.css"), _read("page.js")
    words = Counter(word for card in cards for word in sorted({step.word for step in card.steps}) if word)
    page = environment.get_template("page.html").render(
        cards=cards,
        source=label(source),
        notes=[clean(note) for note in notes],
        kinds=sorted({series.kind for card in cards for series in card.series}),
        words=sorted(words),
        edits=sum(len(card.steps) for card in cards),
        generator=GENERATOR,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    return page.encode("utf-8")


def is_page(path: Path) -> bool:
    """Whether a file is a page that ``render`` made."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head.startswith(b"<!doctype html>") and f'name="generator" content="{GENERATOR}"'.encode() in head


def _read(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
