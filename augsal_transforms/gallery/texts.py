"""Texts of strangers as a page or a figure can show them, and captions with one word marked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from augsal_transforms.diffusion.prompts import find_words

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LONGEST_LABEL = 80  # characters of a word or a name


@dataclass(frozen=True)
class Caption:
    """A caption in three parts; ``word`` is the one whose region was edited, "" where the caption does not have it."""

    before: str
    word: str
    after: str

    @property
    def text(self) -> str:
        """The whole caption."""
        return self.before + self.word + self.after


def clean(text: str) -> str:
    """A text without control characters and lone surrogates, which no page can hold: U+FFFD stands in their place."""
    return _CONTROL.sub("\ufffd", text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def label(text: str) -> str:
    """A name or a word of a stranger, in at most 80 characters."""
    shown = clean(text)
    return shown if len(shown) <= _LONGEST_LABEL else f"{shown[:_LONGEST_LABEL]}…"


def mark_word(caption: str, word: str, start: int | None = None) -> Caption:
    """A caption divided at the word that was edited.

    Args:
        caption: The caption.
        word: The word, or "".
        start: Index of its first character where it is known; otherwise the first such word is taken.
    """
    spans = find_words(caption) if word and start is None else []
    first = start if start is not None else next((a for a, b in spans if caption[a:b] == word), None)
    if not word or first is None:
        return Caption(clean(caption), "", "")
    end = first + len(word)
    return Caption(clean(caption[:first]), clean(caption[first:end]), clean(caption[end:]))


def shorten(caption: Caption, longest: int) -> Caption:
    """At most about ``longest`` characters of a caption, the marked word among them."""
    if len(caption.text) <= longest:
        return caption
    word = label(caption.word)
    room = max(longest - len(word), 2)
    before = min(len(caption.before), max(room // 2, room - len(caption.after)))
    after = min(len(caption.after), room - before)
    head = caption.before if before == len(caption.before) else f"…{caption.before[len(caption.before) - before :]}"
    if not caption.word:
        return Caption(f"{caption.before[:longest]}…", "", "")
    return Caption(head, word, caption.after if after == len(caption.after) else f"{caption.after[:after]}…")
